# SPDX-License-Identifier: Apache-2.0
"""Events of a batch as coordinator, modules and laboratory write them, for tests of facts, summary and report."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.expressions import evaluate
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.outbox import Outbox
from mimedi_nodes.records.review import ReleaseRow
from mimedi_nodes.records.yaml_text import load

ROOT = Path(__file__).resolve().parents[3]
BATCH = "B2026-001"
PATIENT = "A9999-26-000017"
HOUR, DAY = 3600.0, 86400.0


def specification() -> dict[str, Any]:
    """The CAR-T specification that is shipped."""
    with (ROOT / "config/products/car_t_cd19.yaml").open() as stream:
        return dict(load(stream.read()))


@dataclass
class Evaluation:
    verdict: str = "incomplete"
    rows: list[ReleaseRow] = field(default_factory=list)


def evaluate_plainly(specification: Mapping[str, Any], values: Mapping[str, Any]) -> Evaluation:
    """A second, small evaluation, independent of the process layer's."""
    compare = {
        "min": operator.ge, "max": operator.le, "below": operator.lt, "above": operator.gt, "equals": operator.eq,
    }  # fmt: skip
    result = Evaluation()
    for test in specification["tests"]:
        value, verdict, reason = None, "unknown", ""
        ((name, limit),) = test["criterion"].items()
        try:
            value = evaluate(test["source"], values)
            passed = limit[0] <= value <= limit[1] if name == "between" else compare[name](value, limit)
            verdict = "pass" if passed else "fail"
        except WorkcellError as error:
            reason = str(error)
            if test["stage"] == "final":
                verdict, reason = "pending", "result awaited"
        row = {key: test[key] for key in ("id", "title", "unit", "stage", "group", "method", "reference")}
        result.rows.append(ReleaseRow(criterion="", value=value, verdict=verdict, reason=reason, **row))
    verdicts = {row.verdict for row in result.rows}
    result.verdict = "rejected" if "fail" in verdicts else "held" if "unknown" in verdicts else "meets_provisionally"
    return result


class Story:
    """Writes events of several producers in the order in which they happen."""

    def __init__(self) -> None:
        self.events: list[RecordEvent] = []
        self._outboxes: dict[str, Outbox] = {}

    def tell(self, producer: str, time_s: float, kind: str, what: str, why: str = "", **data: Any) -> None:
        outbox = self._outboxes.setdefault(producer, Outbox(":memory:", producer))
        self.events.append(outbox.append(BATCH, time_s, kind, producer, what, why, data))

    def phase(
        self, path: str, module: str, action: str, start_s: float, end_s: float, result: Mapping[str, Any],
        status: str = "succeeded", **goal: Any,
    ) -> None:  # fmt: skip
        common = {"phase_id": path, "module": module, "action": action, "goal": goal}
        self.tell(module, start_s, "phase_started", path, started_s=start_s, **common)
        whole = {**result, "error_code": 0, "error_msg": "", **({} if status == "succeeded" else result)}
        self.tell(
            module, end_s, "phase_ended", path, status=status, result=whole, started_s=start_s, ended_s=end_s, **common
        )


def nominal_batch(final_viability: float = 0.941, temperature_c: float = 37.0) -> list[RecordEvent]:
    """About 700 events of one batch of ten days, sterility pending."""
    story = Story()
    tell, phase = story.tell, story.phase
    tell(
        "coordinator", 0.0, "batch_started", BATCH, recipe="car_t_cd19", version="1.0.0", product="car_t_cd19",
        patient=PATIENT, donor=PATIENT, weight_kg=70.0, requested_by="demo", engineering_run=False, seed=1,
        donor_profile="nominal", simulated=True,
    )  # fmt: skip
    for name, value, unit in (("moi", 5.0, "TU/cell"), ("target_viable_cells", 4.5e9, "cells")):
        tell("coordinator", 0.0, "recipe_parameter", name, name=name, value=value, unit=unit)
    for material, lot, to in (
        ("leukapheresis", "A9999-26-000017-00", "apheresis"), ("CD3/CD28 beads", "BD-2214", "beads"),
        ("culture medium", "MX-0931", "medium"), ("lentiviral vector", "LV-19-07", "vector"),
    ):  # fmt: skip
        tell(
            "coordinator", 60.0, "material", material, material=material, lot=lot, to=to, label=f"{lot}/1",
            chain_of_identity=PATIENT if material == "leukapheresis" else "", volume_ul=120000.0,
        )  # fmt: skip
    question = "Scan the label of the apheresis bag"
    tell("coordinator", 90.0, "prompt_asked", "receive.scan:1", prompt_id="receive.scan:1", question=question)
    tell(
        "coordinator", 90.0, "prompt_answered", "receive.scan:1", prompt_id="receive.scan:1", question=question,
        answer=PATIENT, simulated=True, by="script",
    )  # fmt: skip
    tell("coordinator", 100.0, "step_not_available", "check_room", "needs the enclosure node", step="2 check room")
    phase(
        "selection.receive.load", "fluidics", "TransferFluid", 200.0, 1900.0,
        {"volume_moved_ul": 40000.0, "volume_source_ul": 40012.0, "volume_destination_ul": 39893.0,
         "volume_lost_ul": 119.0, "duration_s": 1700.0},
        source="apheresis", destination="sorter_inlet",
    )  # fmt: skip
    phase(
        "selection.enrich.tune", "acoustic_sorter", "TuneTransducer", 4000.0, 4300.0,
        {"channel_resonance_hz": 2.00893e6, "channel_resonance_sd_hz": 310.0, "channel_q": 151.2,
         "pzt_resonance_hz": 1.98004e6, "pzt_q": 49.8, "residual": 0.004},
    )  # fmt: skip
    phase(
        "selection.enrich.sort", "acoustic_sorter", "SortCells", 4300.0, 9100.0,
        {"volume_sample_ul": 41200.0, "volume_buffer_ul": 217300.0, "volume_target_ul": 114100.0,
         "volume_waste_ul": 144200.0, "frequency_hz": 2.00893e6, "amplitude_vpp": 5.3, "duration_s": 4800.0},
        source="sorter_inlet", destination="sorted", buffer="buffer",
    )  # fmt: skip
    tell(
        "coordinator", 9200.0, "measurement", "sort_recovery", name="sort_recovery", value=0.801, unit="1",
        low=0.76, high=0.84, phase_id="selection.enrich.recovery",
    )  # fmt: skip
    tell(
        "coordinator", 9210.0, "decision", "selection.enrich.then", "recovery is as expected",
        expression="sort_recovery < 0.60", outcome="go on",
    )  # fmt: skip
    edges = [4.0 + 0.5 * index for index in range(25)]
    looks = ((9300.0, 7.4, 0.961, "selection.check"), (5 * DAY, 9.4, 0.948, "expansion.look"),
             (10.4 * DAY, 8.6, final_viability, "release.final_qc.look"))  # fmt: skip
    look_results = []
    for time_s, mean, viability, path in looks:
        counts = [int(400 * math.exp(-0.5 * ((edge + 0.25 - mean) / 0.9) ** 2)) for edge in edges[:-1]]
        look_results.append((
            path, time_s,
            {"cells": sum(counts), "frames": 900, "concentration_per_ml": 1.02e6, "viability": viability,
             "viability_low": viability - 0.014, "viability_high": viability + 0.011, "viable_per_ml": 0.97e6,
             "diameter_mean_um": mean, "diameter_sd_um": 0.9, "diameter_edges_um": edges, "diameter_counts": counts},
        ))  # fmt: skip
    path, time_s, result = look_results[0]
    phase(path, "vision_qc", "InspectSample", time_s - 120.0, time_s, result)
    phase(
        "activation.activate", "transduction", "ActivateCells", 0.15 * DAY, 1.1 * DAY,
        {"duration_h": 24.0, "temperature_mean_c": temperature_c, "temperature_min_c": temperature_c - 0.1,
         "viable_cells": 1.7e8, "ph": 7.2},
    )  # fmt: skip
    phase(
        "transduction.transduce", "transduction", "TransduceCells", 1.15 * DAY, 1.9 * DAY,
        {"vector_used_tu": 8.5e8, "moi_reached": 5.02, "contact_h": 18.0, "temperature_mean_c": temperature_c},
    )  # fmt: skip
    tell(
        "incubator", 3.31 * DAY, "alarm_raised", "incubator.liquid_temperature_low",
        alarm_id="incubator.liquid_temperature_low", message="liquid at 36.4 °C, limit 36.5 °C for 10 min",
    )  # fmt: skip
    tell(
        "incubator", 3.34 * DAY, "alarm_cleared", "incubator.liquid_temperature_low",
        alarm_id="incubator.liquid_temperature_low",
    )  # fmt: skip
    for hour in range(48, 240, 1):
        time_s = hour * HOUR
        day = time_s / DAY
        cells = 1.9e8 * math.exp(0.40 * (day - 2.0))
        wave = 0.06 * math.sin(1.7 * hour)
        glucose = 22.0 - 11.0 * min(1.0, (day - 2.0) / 2.2) - 0.4 * max(0.0, day - 4.2)
        for name, value, unit in (
            ("viable_cells", cells, "cells"), ("liquid_temperature_c", temperature_c + wave, "degC"),
            ("glucose_mm", glucose, "mmol/L"), ("lactate_mm", 1.6 * (22.0 - glucose) * 0.9, "mmol/L"),
        ):  # fmt: skip
            if hour % 2 == 0:
                tell(
                    "incubator", time_s, "measurement", name, name=name, value=value, unit=unit, low=math.nan,
                    high=math.nan, phase_id="expansion.perfuse",
                )  # fmt: skip
        if hour == 120:
            path, look_s, result = look_results[1]
            phase(path, "vision_qc", "InspectSample", look_s - 120.0, look_s, result)
    culture = {"glucose_mm": 9.1, "lactate_mm": 18.5, "ph": 7.05, "volume_ul": 955000.0,
               "temperature_mean_c": temperature_c, "temperature_min_c": temperature_c - 0.6,
               "temperature_max_c": temperature_c + 0.2}  # fmt: skip
    phase(
        "expansion.expand", "incubator", "ExpandCulture", 2 * DAY, 4 * DAY,
        {"viable_cells": 4.2e8, **culture, "duration_h": 48.0},
    )  # fmt: skip
    phase(
        "expansion.perfuse", "incubator", "PerfuseCulture", 4 * DAY, 10 * DAY,
        {"outcome": "target_reached", "viable_cells": 4.62e9, **culture, "medium_used_ul": 5.74e6, "duration_h": 144.0},
    )  # fmt: skip
    phase(
        "release.wash.concentrate", "acoustic_sorter", "ConcentrateCells", 10.05 * DAY, 10.26 * DAY,
        {"volume_source_ul": 955000.0, "volume_exchange_ul": 95000.0, "volume_destination_ul": 95500.0,
         "volume_waste_ul": 954200.0, "residual_fraction": 0.031, "duration_s": 18000.0},
        source="depleted", destination="harvest",
    )  # fmt: skip
    phase(
        "release.formulate", "fluidics", "FormulateDose", 10.28 * DAY, 10.32 * DAY,
        {"cells_volume_ul": 9300.0, "dose_volume_ul": 50000.0, "dose_viable_cells": 4.18e8, "dose_car_cells": 1.51e8,
         "surplus_volume_ul": 84000.0, "retain_volume_ul": 2000.0, "expires_s": 12.3 * DAY},
        source="harvest", destination="dose_bag",
    )  # fmt: skip
    path, time_s, result = look_results[2]
    phase(path, "vision_qc", "InspectSample", time_s - 120.0, time_s, result)
    tell(
        "coordinator", time_s, "measurement", "final_viability", name="final_viability", value=final_viability,
        unit="1", low=final_viability - 0.014, high=final_viability + 0.011, phase_id=path,
    )  # fmt: skip
    tell(
        "coordinator", time_s, "measurement", "ifn_gamma_pg_ml", name="ifn_gamma_pg_ml", value=48_200.0,
        unit="pg/mL", low=41_000.0, high=56_600.0, phase_id="release.potency",
    )  # fmt: skip
    tests = (
        ("cd3_fraction", 0.972, 0.965, 0.978, "1", "flow cytometry", "final"),
        ("car_fraction", 0.362, 0.35, 0.374, "1", "flow cytometry", "final"),
        ("vcn_per_transduced_cell", 1.42, 1.31, 1.55, "1", "digital PCR", "final"),
        ("endotoxin_eu_ml", 0.12, None, None, "EU/mL", "chromogenic LAL", "final"),
        ("residual_beads_per_3e6_cells", 38, 27, 52, "beads", "microscopy", "final"),
        ("mycoplasma", "negative", None, None, "result", "nucleic acid amplification", "final"),
        ("sterility", None, None, None, "result", "automated growth", "pending"),
    )
    tell("coordinator", 10.34 * DAY, "laboratory_ordered", "S-7", sample_id="S-7", tests=[test[0] for test in tests])
    for test, value, low, high, unit, method, status in tests:
        tell(
            "coordinator", 10.42 * DAY, "laboratory_result", test, sample_id="S-7", test=test, value=value, low=low,
            high=high, unit=unit, method=method, status=status,
        )  # fmt: skip
    tell("coordinator", 10.43 * DAY, "batch_ended", BATCH, state="completed", reason="")
    return story.events
