# SPDX-License-Identifier: Apache-2.0
"""The analytics on the plant's analysers, through drivers and SCPI firmware; estimates against the twin's truth."""

from __future__ import annotations

import io
import math

import flowio
import numpy as np
import pytest

from mimedi_nodes.instruments.droplet_reader import DropletCounts
from mimedi_nodes.modules.analytics import MODULE
from mimedi_nodes.modules.analytics.binding import fit_sensorgram
from mimedi_nodes.modules.analytics.codes import AnalyticsCode
from mimedi_nodes.modules.analytics.copies import copy_number
from mimedi_nodes.modules.analytics.gating import SHOWN_EVENTS, Share, cut
from mimedi_nodes.modules.analytics.immunoassay import Curve, fit_standards, sample_concentration
from mimedi_nodes.modules.analytics.instruments import build
from mimedi_nodes.modules.analytics.stiffness import fit_force_curve, median_interval, with_gel
from mimedi_nodes.records.analysis_files import PART_CHARACTERS, files, parts
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.stiffness_map import from_csv
from mimedi_sim.firmware import analytics as scpi
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.models.afm import MODULUS_SIGMA_LN, Probe
from mimedi_sim.plant.analytics import BindingBench, CytometryBench, DropletBench, ForceBench, PlateBench, Sample
from mimedi_sim.plant.ledger import FloatArray, amounts

from .module_bench import ModuleBench

PRODUCT = amounts(
    volume_ul=1000.0, plasma_ul=1000.0, t_act_pos=1.6e6, t_act_neg=2.4e6, car_expressed=1.6e6, copies=4.0e6,
    lymphocyte=2.0e5, monocyte=1.0e5, dead=5.0e5,
)


class Analysers:
    """The module's bench with five analysers that look at one sample."""

    def __init__(self, content: FloatArray, seed: int) -> None:
        self.bench, self.content = ModuleBench(MODULE), content
        now = self.bench.clock.now_s()

        def sample(_: float) -> FloatArray:
            return content

        self.force = ForceBench(seed, sample)
        self.firmware = {
            "afm": scpi.AtomicForceMicroscope(self.force),
            "spr_reader": scpi.SprReader(BindingBench(seed, now, sample)),
            "plate_reader": scpi.PlateReader(PlateBench(seed, sample)),
            "droplet_reader": scpi.DropletReader(DropletBench(seed, sample)),
            "cytometer": scpi.FlowCytometer(CytometryBench(seed, sample)),
        }


def measured_files(analysers: Analysers) -> dict[str, tuple[str, bytes]]:
    """Return the files that are in the record, as a reader of it finds them."""
    return files(
        RecordEvent("analytics", k, "B1", 0.0, "2026-11-23T10:00:00Z", kind, "analytics", what, "", data)
        for k, (kind, what, data) in enumerate(analysers.bench.events, start=1)
    )


async def ready(content: FloatArray = PRODUCT, seed: int = 1) -> Analysers:
    found = Analysers(content, seed)
    links = {name: found.bench.link(name, firmware) for name, firmware in found.firmware.items()}
    await found.bench.start(build(None, links, {}))  # type: ignore[arg-type]
    return found


# -- stiffness ------------------------------------------------------------------------------------------------


def test_a_force_curve_gives_the_modulus_with_its_error():
    errors, sizes = [], []
    for k in range(20):
        curve = Probe(baseline_n=30e-12).curve(500.0, seed=1, name=f"c{k}")
        fit = fit_force_curve(curve.position_m, curve.force_n, 2.5e-6)
        errors.append(fit.modulus_pa - 500.0)
        sizes.append(fit.sd_pa)
    assert abs(np.mean(errors)) < 15.0  # PHYSICS 9.fit.a: 501.3
    assert np.std(errors) == pytest.approx(np.mean(sizes), rel=0.5)
    assert np.mean(sizes) == pytest.approx(7.0, rel=0.5)  # PHYSICS 9.fitsd.a: 6.9


def test_a_curve_without_a_cell_is_no_modulus():
    noise = np.random.default_rng(1).normal(0.0, 20e-12, 500)
    z = np.linspace(-1e-6, 0.5e-6, 500)
    flat = fit_force_curve(z, np.abs(noise), 2.5e-6)
    assert not flat.is_good
    with pytest.raises(ValueError, match="at least 50"):
        fit_force_curve(z[:10], noise[:10], 2.5e-6)


def test_the_interval_of_a_median_covers_it():
    random = np.random.default_rng(2)
    covered = sum(low <= 1.0 <= high for _, low, high in (
        median_interval(np.exp(random.normal(0.0, 0.5, 30))) for _ in range(400)
    ))  # fmt: skip
    assert 0.93 < covered / 400 < 0.99


@pytest.mark.parametrize("count", [6, 7, 8, 12])
def test_the_interval_of_a_median_of_few_covers_it_too(count):
    random = np.random.default_rng(count)
    covered = sum(low <= 1.0 <= high for _, low, high in (
        median_interval(np.exp(random.normal(0.0, 0.5, count))) for _ in range(600)
    ))  # fmt: skip
    assert covered / 600 > 0.93


def test_five_values_have_no_such_interval():
    with pytest.raises(ValueError, match="needs 6 at least"):
        median_interval([1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_stiffness_of_too_few_cells_is_refused_at_the_door_and_one_of_six_has_its_interval():
    async def run():
        analysers = await ready()
        refused = await analysers.bench.run("MeasureStiffness", sample_id="S", cells_wanted=5)
        assert refused.status != "succeeded"
        assert "cells_wanted" in refused.error_msg
        assert "[6, 500]" in refused.error_msg, refused.error_msg
        outcome = await analysers.bench.run("MeasureStiffness", sample_id="S", cells_wanted=6)
        assert outcome.status == "succeeded", outcome.error_msg
        result = outcome.result
        assert 0.0 < result["modulus_low_pa"] < result["modulus_median_pa"] < result["modulus_high_pa"] < 5e4

    run_virtual(run())


def test_moduli_of_many_batches_lie_in_their_intervals():
    """Each with a cantilever of its own, whose spring constant the reference gel takes out."""
    covered = 0
    for seed in range(24):
        bench = ForceBench(seed, lambda now_s: PRODUCT)
        curves = [bench.curve(cell, cell, 120, 2.0e-6, 0.0) for cell in range(1, 21)]
        fits = [fit_force_curve(z, f, bench.cantilever().radius_m) for z, f in curves]
        gel = [fit_force_curve(*bench.curve(100 + k, 0, 120, 2.0e-6, 0.0), 2.5e-6).modulus_pa for k in range(3)]
        ratio = np.median(gel) / bench.gel_pa()
        median, low, high = median_interval([fit.modulus_pa / ratio for fit in fits if fit.is_good])
        low, high = with_gel(median, low, high)
        # What the interval is of: the median of the kind of cells that the batch consists of.
        true = np.median([bench.modulus_pa(cell, 0.0) for cell in range(1, 601)])
        covered += low <= true <= high
    assert covered >= 20  # 22.8 expected; fewer come once in a hundred


def test_stiffness_of_the_batch_is_that_of_its_cells():
    async def run():
        analysers = await ready()
        outcome = await analysers.bench.run("MeasureStiffness", sample_id="S", cells_wanted=40)
        assert outcome.status == "succeeded", outcome.error_msg
        true = np.median([analysers.force.modulus_pa(cell, 0.0) for cell in range(1, 41)])
        result = outcome.result
        assert result["modulus_median_pa"] == pytest.approx(true, rel=0.15)  # certificate and curves of the gel: 5 %
        assert result["modulus_low_pa"] < result["modulus_median_pa"] < result["modulus_high_pa"]
        cells = from_csv(measured_files(analysers)["S.stiffness.csv"][1])
        assert np.median([cell.modulus_pa for cell in cells]) == pytest.approx(result["modulus_median_pa"], rel=1e-4)
        assert max(abs(x) for cell in cells for x in (cell.x_um, cell.y_um)) <= 150.0
        assert len({(cell.x_um, cell.y_um) for cell in cells}) == len(cells)
        assert np.std(np.log([cell.relative for cell in cells])) == pytest.approx(MODULUS_SIGMA_LN, rel=0.5)

    run_virtual(run())


# -- binding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k_a", "k_d", "nm"), [(5e5, 5e-4, 5.0), (1e6, 2e-3, 2.0), (2e5, 1e-3, 20.0)])
def test_a_sensorgram_gives_rates_and_concentration(k_a, k_d, nm):
    t = np.arange(0.0, 600.0)
    observed = k_a * nm * 1e-9 + k_d
    plateau = 100.0 * k_a * nm * 1e-9 / observed
    bound = np.where(t < 60, 0.0, plateau * -np.expm1(-observed * np.clip(t - 60.0, 0.0, 240.0)))
    bound = bound * np.exp(-k_d * np.clip(t - 300.0, 0.0, None))
    fit = fit_sensorgram(t, bound + np.random.default_rng(3).normal(0.0, 0.28, len(t)), 60.0, 300.0)
    value, sd = fit.concentration_m(k_a, 100.0)
    assert value * 1e9 == pytest.approx(nm, abs=max(4.0 * sd * 1e9, 0.05 * nm))
    assert fit.dissociation_per_s == pytest.approx(k_d, rel=0.15)
    assert not fit.is_transport_limited(k_a, 100.0)
    # Transport that makes binding ten times as slow, to the same plateau.
    slow = np.where(t < 60, 0.0, plateau * -np.expm1(-0.3 * observed * np.clip(t - 60.0, 0.0, 240.0)))
    slow = slow * np.exp(-0.3 * k_d * np.clip(t - 300.0, 0.0, None))
    limited = fit_sensorgram(t, slow, 60.0, 300.0)
    assert limited.concentration_m(k_a, 100.0)[0] * 1e9 < 0.5 * nm


def test_binding_of_the_sample_on_the_plants_reader():
    async def run():
        rich = amounts(volume_ul=1000.0, plasma_ul=1000.0, t_act_pos=2e6, car_expressed=2e6)
        analysers = await ready(rich)
        true_nm = 1e9 * Sample(rich).molar("IFNG")
        outcome = await analysers.bench.run("MeasureBinding", sample_id="S", analyte="ifn_gamma")
        assert outcome.status == "succeeded", outcome.error_msg
        assert outcome.result["concentration_nm"] == pytest.approx(true_nm, abs=0.35 * true_nm + 0.3)
        assert outcome.result["kd_nm"] == pytest.approx(1.0, abs=0.6)
        assert await analysers.bench.service.instruments.spr.is_off()
        wrong = await analysers.bench.run("MeasureBinding", sample_id="S", analyte="gold")
        assert wrong.error_code == AnalyticsCode.ANALYTE
        assert "ifn_gamma" in wrong.error_msg

    run_virtual(run())


def test_binding_of_forty_chips_lies_in_its_intervals():
    rich = amounts(volume_ul=1000.0, plasma_ul=1000.0, t_act_pos=2e6, car_expressed=2e6)
    true_nm = 1e9 * Sample(rich).molar("IFNG")

    async def one(seed):
        analysers = await ready(rich, seed)
        found = (await analysers.bench.run("MeasureBinding", sample_id="S", analyte="ifn_gamma")).result
        assert not found["transport_limited"]
        return (
            found["concentration_low_nm"] <= true_nm <= found["concentration_high_nm"],
            found["kd_low_nm"] <= 1.0 <= found["kd_high_nm"],  # PHYSICS §10: 5e-4/5e5
        )

    async def run():
        return np.sum([await one(seed) for seed in range(40)], axis=0)

    concentration, dissociation = run_virtual(run())
    assert concentration >= 34
    assert dissociation >= 34


# -- immunoassay ----------------------------------------------------------------------------------------------


def test_a_curve_is_found_and_read_back():
    true = Curve(0.05, 2.5, 250.0, 1.1, 0.0)
    standards = np.repeat([2000.0, 1000.0, 500.0, 250.0, 125.0, 62.5, 31.25, 0.0], 2)
    noise = np.random.default_rng(4).normal(0.0, 1.0, 16)
    absorbance = true.absorbance(standards) * (1.0 + 0.04 * noise)
    found = fit_standards(standards, absorbance)
    assert found.middle == pytest.approx(250.0, rel=0.3)
    assert found.concentration(float(true.absorbance(np.array([300.0]))[0])) == pytest.approx(300.0, rel=0.15)
    assert math.isnan(found.concentration(0.04))
    assert math.isnan(found.concentration(2.6))
    with pytest.raises(ValueError, match="no usable curve"):
        fit_standards(standards, np.full(16, 0.05))
    assert math.isnan(sample_concentration(found, np.array([0.05, 0.05]), np.array([1.0, 1.0]))[0])


def test_cytokines_of_forty_samples_lie_in_their_intervals():
    async def one(seed):
        analysers = await ready(seed=seed)
        result = (await analysers.bench.run("MeasureCytokine", sample_id="S", analyte="ifn_gamma")).result
        true = Sample(PRODUCT).cytokine_pg_ml("IFNG")
        assert result["concentration_pg_ml"] == pytest.approx(true, rel=0.3)
        return result["low_pg_ml"] <= true <= result["high_pg_ml"]

    async def run():
        return sum([await one(seed) for seed in range(40)])

    assert run_virtual(run()) >= 34  # 38 expected; fewer come once in a hundred


# -- copies ---------------------------------------------------------------------------------------------------


def test_copies_of_forty_wells_lie_in_their_intervals():
    async def one(seed):
        analysers = await ready(seed=seed)
        result = (await analysers.bench.run("MeasureCopyNumber", sample_id="S", denominator="cell")).result
        true = 4.0e6 / Sample(PRODUCT).cells
        assert result["copies"] == pytest.approx(true, rel=0.15)
        return result["copies_low"] <= true <= result["copies_high"]

    async def run():
        return sum([await one(seed) for seed in range(40)])

    assert run_virtual(run()) >= 34


def test_copies_of_a_transduced_cell_and_bad_wells():
    found = copy_number(DropletCounts(16_000, 1100, 2200, 150, 0.85e-9))
    assert found.copies == pytest.approx(2.0 * math.log1p(-1100 / 16_000) / math.log1p(-2200 / 16_000))
    assert found.per_transduced_cell().copies == pytest.approx(found.copies / -math.expm1(-found.copies))
    none = copy_number(DropletCounts(16_000, 0, 2200, 0, 0.85e-9))
    assert none.copies == 0.0
    assert 0.0 < none.high < 0.01
    for counts in (DropletCounts(100, 10, 20, 1, 1e-9), DropletCounts(16_000, 16_000, 2200, 2200, 1e-9)):
        with pytest.raises(ValueError, match=r"droplets|dilute"):
            copy_number(counts)


# -- cytometry ------------------------------------------------------------------------------------------------


def test_gates_find_the_true_fractions():
    async def run():
        analysers = await ready()
        outcome = await analysers.bench.run("AnalyzeCytometry", sample_id="S", events_wanted=20_000)
        assert outcome.status == "succeeded", outcome.error_msg
        sample = Sample(PRODUCT)
        living = sample.cells - sample.amount("dead")
        assert outcome.result["viability"] == pytest.approx(living / sample.cells, abs=0.02)
        assert outcome.result["cd3_fraction"] == pytest.approx(4.0e6 / living, abs=0.02)
        assert outcome.result["car_fraction"] == pytest.approx(0.4, abs=0.02)
        assert outcome.result["events"] > 15_000
        for name, truth in (("cd3", 4.0e6 / living), ("car", 0.4)):
            low, high = outcome.result[f"{name}_low"], outcome.result[f"{name}_high"]
            assert low - 0.01 < truth < high + 0.01  # the gates err by up to a per cent beside the counts
        media_type, fcs = measured_files(analysers)["S.fcs"]
        assert media_type == "application/vnd.isac.fcs"
        assert flowio.FlowData(io.BytesIO(fcs)).event_count == 20_000
        data = next(data for kind, what, data in analysers.bench.events if (kind, what) == ("analysis", "cytometry"))
        cd3, car = (np.array(data["columns"][name]) for name in ("cd3", "car"))
        assert 300 < len(cd3) == len(car) <= SHOWN_EVENTS
        # The few events of the picture lie in the gates as all of them do.
        in_gates = np.mean(car[cd3 > data["values"]["cd3_cut"]] > data["values"]["car_cut"])
        assert in_gates == pytest.approx(outcome.result["car_fraction"], abs=0.07)

    run_virtual(run())


def test_a_cut_lies_in_the_gap_and_shares_have_intervals():
    random = np.random.default_rng(5)
    few, many = random.normal(math.log(8000), 0.45, 500), random.normal(math.log(250), 0.45, 5000)
    values = np.exp(np.concatenate([many, few]))
    assert 700.0 < cut(values, 600.0, 3000.0) < 2600.0
    assert Share(0, 0).interval[0] != Share(0, 0).interval[0]
    low, high = Share(10, 100).interval
    assert low == pytest.approx(0.0552, abs=1e-3)
    assert high == pytest.approx(0.1744, abs=1e-3)


def test_an_empty_cell_gives_no_result():
    async def run():
        analysers = await ready(amounts(volume_ul=1000.0))
        stiffness = await analysers.bench.run("MeasureStiffness", sample_id="S", cells_wanted=20)
        assert stiffness.error_code == AnalyticsCode.TOO_FEW

    run_virtual(run())


def test_a_large_file_is_split_and_put_together_or_refused():
    content = np.random.default_rng(1).bytes(1_500_000)
    data = list(parts("S.fcs", content, "x/y"))
    assert len(data) == 4
    assert max(len(each["content"]) for each in data) == PART_CHARACTERS

    def events(some):
        return [RecordEvent("a", k, "B1", 0.0, "2026-11-23T10:00:00Z", "analysis_file", "a", "S", "", each)
                for k, each in enumerate(some, start=1)]  # fmt: skip

    assert files(events(data)) == {"S.fcs": ("x/y", content)}
    assert files(events([*data[:2], *data])) == {"S.fcs": ("x/y", content)}  # a measurement that was made again
    for damaged, words in ((data[:-1], "missing"), ([data[0], data[2], data[1], data[3]][:3], "missing"),
                           ([{**each, "sha256": "0" * 64} for each in data], "hash")):  # fmt: skip
        with pytest.raises(RecordError, match=words):
            files(events(damaged))
