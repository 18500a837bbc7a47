# SPDX-License-Identifier: Apache-2.0
"""The simulated external quality-control laboratory: takes samples, measures with noise, signs what it reports.

Every test is a line of TESTS: turnaround, volume needed, method, and how the value with its 95 % interval follows
from the true content of the sample. Noise comes from counter-based streams keyed by sample and test, so that a
result does not depend on what else was ordered. The signing key of the simulation is fixed and public: it proves
in exercises that a record was not altered, never that a laboratory exists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scipy.special import chdtri

from mimedi_nodes.process.errors import WorkcellError
from mimedi_sim.plant import biology, dmso, syringe
from mimedi_sim.plant.ledger import DEAD, INDEX, NUCLEATED, VIABLE, VOLUME, FloatArray
from mimedi_sim.random_streams import RandomStream

NAME = "Simulated QC laboratory"
KEY_ID = "simulated-qc-1"
_KEY_TEXT = b"mimedi workcell: signing key of the simulated quality-control laboratory"
_Z95 = 1.959964


class LaboratoryError(WorkcellError):
    """An order that the laboratory refuses; says why and what to do."""


@dataclass(frozen=True)
class SignedRecord:
    """One result as it is sent: canonical JSON, Ed25519 signature of it (hex), and the key's name."""

    record_json: str
    signature_hex: str
    key_id: str


@dataclass(frozen=True)
class Result:
    """A measured value with its 95 % interval, or a word; NaN where there is no number."""

    value: float | str
    low: float
    high: float
    status: str = "final"


Measure = Callable[[FloatArray, RandomStream], Result]


@dataclass(frozen=True)
class Test:
    """How a test is done: turnaround [h], sample needed [uL], unit, method, measurement."""

    turnaround_h: float
    volume_ul: float
    unit: str
    method: str
    measure: Measure


MICROBES_VOLUME_ML = 0.2
MICROBES_LEAST_CFU = 3
"""CFU in the tested volume from which amplification tells microbes from the reagents' own DNA [calibration]."""

_UNKNOWN = Result(math.nan, math.nan, math.nan, "invalid")


def _sum(content: FloatArray, names: Sequence[str]) -> float:
    return float(sum(content[INDEX[name]] for name in names))


def _fraction(part: float, whole: float, events: int, systematic_sd: float, draw: RandomStream) -> Result:
    """Share of counted events: binomial counting and a systematic error of gating."""
    if whole <= 0.0:
        return _UNKNOWN
    true = min(1.0, max(0.0, part / whole + draw.normal(1, 0.0, systematic_sd)))
    value = draw.binomial(2, events, true) / events
    half = _Z95 * math.hypot(systematic_sd, math.sqrt(max(value * (1.0 - value), 1.0 / events) / events))
    return Result(value, max(0.0, value - half), min(1.0, value + half))


def _relative(true: float, cv: float, draw: RandomStream) -> Result:
    value = true * (1.0 + cv * draw.normal(1))
    return Result(max(0.0, value), max(0.0, value * (1.0 - _Z95 * cv)), value * (1.0 + _Z95 * cv))


def _word(word: str, status: str = "final") -> Result:
    return Result(word, math.nan, math.nan, status)


def _cd3(content: FloatArray, draw: RandomStream) -> Result:
    return _fraction(biology.t_viable(content), _sum(content, VIABLE), 20_000, 0.005, draw)


def _car(content: FloatArray, draw: RandomStream) -> Result:
    return _fraction(float(content[INDEX["car_expressed"]]), biology.t_viable(content), 20_000, 0.01, draw)


def _viability(content: FloatArray, draw: RandomStream) -> Result:
    viable = _sum(content, VIABLE)
    return _fraction(viable, viable + _sum(content, DEAD), 2_000, 0.01, draw)


def _after_thaw(content: FloatArray, draw: RandomStream) -> Result:
    """Viability a day after a vial of the sample was frozen at 1 K/min and thawed: in its own DMSO, or in 10 %."""
    whole = _sum(content, NUCLEATED)
    return _fraction(dmso.thawed_viability(content) * whole, whole, 2_000, 0.015, draw)


def _copies(content: FloatArray, draw: RandomStream) -> Result:
    positive = float(content[INDEX["t_act_pos"]])
    return _relative(float(content[INDEX["copies"]]) / positive, 0.08, draw) if positive > 0.0 else _UNKNOWN


def _endotoxin(content: FloatArray, draw: RandomStream) -> Result:
    millilitres = float(content[VOLUME]) * 1e-3
    if millilitres <= 0.0:
        return _UNKNOWN
    # The assay's limit of detection is 0.01 EU/mL [calibration].
    true = syringe.endotoxin_eu(content) / millilitres
    if true < 0.01:
        return Result(0.01, 0.0, 0.01)
    return _relative(true, 0.20, draw)


def _beads(content: FloatArray, draw: RandomStream) -> Result:
    nucleated = _sum(content, NUCLEATED)
    if nucleated <= 0.0:
        return _UNKNOWN
    count = draw.poisson(1, 3e6 * _sum(content, ("bead_free", "bead_bound")) / nucleated)
    # Exact Poisson limits (Garwood 1936): chdtri(v, p) is the upper-tail chi-square quantile.
    low = 0.5 * float(chdtri(2 * count, 0.975)) if count else 0.0
    return Result(float(count), low, 0.5 * float(chdtri(2 * count + 2, 0.025)))


def _potency(content: FloatArray, draw: RandomStream) -> Result:
    cells = biology.t_viable(content)
    if cells <= 0.0:
        return _UNKNOWN
    return _relative(1500.0 * float(content[INDEX["car_expressed"]]) / cells, 0.15, draw)  # pg/mL [calibration]


def _sterility(content: FloatArray, draw: RandomStream) -> Result:
    # Negative to date means: Gram stain, which sees 1e4/mL and more; the culture takes 14 days.
    per_ml = syringe.living(content) / max(float(content[VOLUME]) * 1e-3, 1e-9)
    return _word("positive") if per_ml > 1e4 else _word("negative", "pending")


def _microbes(content: FloatArray, draw: RandomStream) -> Result:
    """Amplification of microbial ribosomal DNA from the cells of 0.2 mL: every CFU in it counts."""
    per_ml = syringe.living(content) / max(float(content[VOLUME]) * 1e-3, 1e-9)
    seen = draw.poisson(1, min(per_ml * MICROBES_VOLUME_ML, 1e6))
    return _word("positive" if seen >= MICROBES_LEAST_CFU else "negative")


def _absent(content: FloatArray, draw: RandomStream) -> Result:
    return _word("negative")


def _identity(content: FloatArray, draw: RandomStream) -> Result:
    return _word("match") if _sum(content, NUCLEATED) > 0.0 else _UNKNOWN


TESTS: dict[str, Test] = {
    "cd3_fraction": Test(4.0, 200.0, "1", "flow cytometry, viable CD45+ as denominator", _cd3),
    "car_fraction": Test(4.0, 200.0, "1", "flow cytometry, viable CD3+ as denominator", _car),
    "viability": Test(1.0, 100.0, "1", "dye exclusion, Ph.Eur. 2.7.29", _viability),
    "vcn_per_transduced_cell": Test(6.0, 200.0, "copies/cell", "digital PCR over CAR+ cells", _copies),
    "endotoxin_eu_ml": Test(1.0, 100.0, "EU/mL", "LAL kinetic, Ph.Eur. 2.6.14", _endotoxin),
    "mycoplasma": Test(3.0, 200.0, "result", "PCR with cells, Ph.Eur. 2.6.7", _absent),
    "residual_beads_per_3e6_cells": Test(2.0, 200.0, "beads", "microscopy after lysis", _beads),
    "rcl": Test(6.0, 200.0, "result", "VSV-G quantitative PCR", _absent),
    "potency_ifng_pg_ml": Test(6.0, 200.0, "pg/mL", "IFN-gamma release on CD19+ targets, ELISA", _potency),
    "sterility": Test(2.0, 300.0, "result", "Gram stain, culture under way, Ph.Eur. 2.6.27", _sterility),
    "viability_after_thaw": Test(28.0, 300.0, "1", "frozen, thawed, dye exclusion after 24 h", _after_thaw),
    "microbes": Test(4.0, 200.0, "result", "rapid: nucleic acid amplification, Ph.Eur. 5.1.6", _microbes),
    "identity_hla": Test(4.0, 100.0, "result", "HLA typing against the donor", _identity),
}
"""Every test the laboratory offers, with times short enough for a batch's last day [calibration]."""


def signing_key() -> Ed25519PrivateKey:
    """Return the simulated laboratory's private key: the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.blake2b(_KEY_TEXT, digest_size=32).digest())


def public_key_hex() -> str:
    """Return the public key that a site names under `laboratory_keys` as KEY_ID."""
    return signing_key().public_key().public_bytes_raw().hex()


@dataclass
class _Sample:
    number: int  # in the order of arrival: its noise must not depend on the label's text
    batch_id: str
    content: FloatArray
    ordered: dict[str, float] = field(default_factory=dict)  # test to process time of its report


class Laboratory:
    """Samples taken in, results to come and results reported.

    Args: collect: process time [s] to the amounts that reached the sample port since the last collection.
    """

    def __init__(self, seed: int, collect: Callable[[float], FloatArray]) -> None:
        self._seed, self._collect = seed, collect
        self._samples: dict[str, _Sample] = {}
        self._waiting: list[tuple[float, str, str]] = []
        self._key = signing_key()

    def order(self, batch_id: str, sample_id: str, tests: Sequence[str], now_s: float) -> None:
        """Take what is in the sample port as sample_id and order tests on it; more tests may follow later.

        An order that repeats another one changes nothing. Raises: LaboratoryError on an unknown test, another
        batch's label, an empty sample port or too little sample.
        """
        unknown = [test for test in tests if test not in TESTS]
        if unknown or not tests:
            named = ", ".join(unknown) or "none"
            raise LaboratoryError(f"tests ordered: {named}; the laboratory offers: {', '.join(TESTS)}")
        sample = self._samples.get(sample_id)
        if sample is None:
            content = self._collect(now_s)
            if content[VOLUME] <= 0.0:
                raise LaboratoryError(f"sample {sample_id!r}: nothing reached the sample port; take the sample first")
            sample = _Sample(len(self._samples), batch_id, content)
            self._samples[sample_id] = sample
        if sample.batch_id != batch_id:
            raise LaboratoryError(f"sample {sample_id!r} belongs to batch {sample.batch_id!r}, not {batch_id!r}")
        new = [test for test in dict.fromkeys(tests) if test not in sample.ordered]
        needed = sum(TESTS[test].volume_ul for test in (*sample.ordered, *new))
        if needed > sample.content[VOLUME] + 1.0:
            raise LaboratoryError(
                f"sample {sample_id!r} has {sample.content[VOLUME]:.0f} uL; the tests need {needed:.0f} uL: "
                "take a larger sample"
            )
        for test in new:
            reported_s = now_s + 3600.0 * TESTS[test].turnaround_h
            sample.ordered[test] = reported_s
            self._waiting.append((reported_s, sample_id, test))
        self._waiting.sort()

    def next_event(self) -> float:
        """Return when the next result is due [s]; inf when none is."""
        return self._waiting[0][0] if self._waiting else math.inf

    def due(self, now_s: float) -> list[SignedRecord]:
        """Return the results reported up to now_s that were not returned before, oldest first."""
        ready = [entry for entry in self._waiting if entry[0] <= now_s]
        self._waiting = self._waiting[len(ready) :]
        return [self._report(*entry) for entry in ready]

    def _report(self, reported_s: float, sample_id: str, test: str) -> SignedRecord:
        sample, how = self._samples[sample_id], TESTS[test]
        result = how.measure(sample.content, RandomStream(self._seed, f"laboratory {sample.number}", test))

        def number(value: float | str) -> float | str | None:
            if isinstance(value, str):
                return value
            return None if math.isnan(value) else float(f"{value:.6g}")

        record = {
            "laboratory": NAME, "batch_id": sample.batch_id, "sample_id": sample_id, "test": test,
            "value": number(result.value), "low": number(result.low), "high": number(result.high),
            "unit": how.unit, "method": how.method, "status": result.status, "reported_s": reported_s,
        }
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return SignedRecord(text, self._key.sign(text.encode()).hex(), KEY_ID)


# At the end: the tests of the other products are written with what stands above.
from mimedi_sim.laboratory_products import PRODUCT_TESTS  # noqa: E402

TESTS |= PRODUCT_TESTS
