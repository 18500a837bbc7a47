# SPDX-License-Identifier: Apache-2.0
"""The plant's truth as plain data, for tests, training and comparison; production code never sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from mimedi_sim.models.donors import Donor
from mimedi_sim.plant import biology
from mimedi_sim.plant.chip import Chip
from mimedi_sim.plant.ledger import DEAD, INDEX, LOST, NUCLEATED, VIABLE, VOLUME, Ledger
from mimedi_sim.plant.network import MAGNET_COLUMN, Flows
from mimedi_sim.plant.reactor import ReactorState


def _known(value: float) -> float | None:
    """NaN is no JSON: what is unknown is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cell_summary(ledger: Ledger, account: str) -> dict[str, float | None]:
    """Return the figures people ask for of an account: cells, viability, purity, CAR+, copies, beads."""
    row = ledger.row(account)
    viable, dead = ledger.sum_of(account, VIABLE), ledger.sum_of(account, DEAD)
    t_cells = biology.t_viable(row)
    positive = float(row[INDEX["t_act_pos"]])
    nucleated = ledger.sum_of(account, NUCLEATED)
    beads = float(row[INDEX["bead_free"]] + row[INDEX["bead_bound"]])

    def ratio(part: float, whole: float) -> float | None:
        return part / whole if whole > 0.0 else None

    return {
        "viable_cells": viable, "t_cells": t_cells, "car_cells": positive,
        "viable_per_ml": ratio(viable, float(row[VOLUME]) * 1e-3), "viability": ratio(viable, viable + dead),
        "cd3_fraction": ratio(t_cells, viable), "car_fraction": ratio(positive, t_cells),
        "copies_per_car_cell": ratio(float(row[INDEX["copies"]]), positive),
        "beads_per_3e6": ratio(3e6 * beads, nucleated),
    }


def truth_of(
    time_s: float, ledger: Ledger, vessels: tuple[str, ...], reactors: Mapping[str, ReactorState], chip: Chip,
    flows: Flows, donor: Donor, faults: Mapping[tuple[str, str], Mapping[str, float | str]],
) -> dict[str, Any]:
    """Return vessels, reactors, chip, flows, faults and what was lost, at time_s."""
    return {
        "time_s": time_s,
        "donor": donor.name,
        "vessels": {
            name: {
                "volume_ul": ledger.volume_ul(name), "amounts": ledger.as_dict(name),
                "cells": cell_summary(ledger, name),
            }
            for name in vessels
        },
        "lost": ledger.as_dict(LOST),
        "magnet_column": ledger.as_dict(MAGNET_COLUMN),
        "reactors": {
            name: {key: _known(value) for key, value in asdict(state).items()} for name, state in reactors.items()
        },
        "chip": {
            "temperature_c": chip.temperature_c(time_s), "energy_j_m3": chip.energy_j_m3(time_s),
            "channel_resonance_hz": chip.transducer.channel_resonance_hz(chip.temperature_c(time_s)),
            "drive_hz": chip.drive.frequency_hz, "drive_vpp": chip.drive.amplitude_vpp,
            "concentrating": chip.concentrating,
        },
        "flows": {pump: {"rate_ul_s": f.rate_ul_s, "vessel": f.vessel} for pump, f in flows.pumps.items()},
        "faults": [{"fault": kind, "target": target, **values} for (kind, target), values in faults.items()],
    }


class TruthWhenAsked(Mapping[str, Any]):
    """The truth of one instant, computed when somebody looks into it; valid until time goes on."""

    def __init__(self, compute: Callable[[], Mapping[str, Any]]) -> None:
        self._compute = compute
        self._found: Mapping[str, Any] | None = None

    def _truth(self) -> Mapping[str, Any]:
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __getitem__(self, key: str) -> Any:
        return self._truth()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._truth())

    def __len__(self) -> int:
        return len(self._truth())
