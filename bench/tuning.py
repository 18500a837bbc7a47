# SPDX-License-Identifier: Apache-2.0
"""Recovery and purity of the sort under a drift of the chip's temperature, with and without resonance tracking.

    ./workcell exec python bench/tuning.py --figure docs/images/tuning.png

The sorter's chip of the twin; a warmer chip has its resonance 3.5 kHz/K higher. Tracked: the drive follows the
product's own two-branch fit of a noisy sweep (0.1 % and 0.1 degree). Untracked: it stays. Beside it what VerifyFocusing
reads from the sorter camera's pictures of the same chip.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from mimedi_nodes.modules.acoustic_sorter.transducer_fit import fit_transducer
from mimedi_sim.plant.chip import ChipRun
from mimedi_sim.plant.sorter_view import SorterStation
from test.sim.test_focusing import LABELLED, SETTINGS, verify
from test.sim.test_plant_chip import RESONANCE_HZ, SORT, driven, split

AMPLITUDE_VPP, PER_K_HZ = 5.3, 3500.0
INPUT = {"t_bead": 6.0, "lymphocyte": 3.0, "monocyte": 1.0, "rbc": 1.0}
"""Cells of the labelled inlet, relative."""


def measure(offset_hz: float, seed: int) -> dict[str, float]:
    """Return recovery, purity and the camera's focused share with the drive so far beside the resonance."""
    chip = driven(RESONANCE_HZ + offset_hz, AMPLITUDE_VPP)
    shares = split(chip, SORT)
    centre = {name: shares[name] * amount for name, amount in INPUT.items() if name in shares}
    view = SorterStation(seed, SETTINGS, chip)
    view.adopt(600.0, ChipRun(LABELLED, *SORT))
    seen = verify(view)
    return {
        "recovery": shares["t_bead"], "purity": centre["t_bead"] / max(1e-12, sum(centre.values())),
        "focused": float(seen["centre_fraction"]),
    }  # fmt: skip


def tracking_error_hz(seed: int) -> float:
    """Return by how much the fit of one noisy sweep misses the channel's resonance."""
    chip = driven(RESONANCE_HZ, AMPLITUDE_VPP)
    true_hz = chip.transducer.channel_resonance_hz(chip.temperature_c(600.0))
    frequency = np.linspace(1.94e6, 2.05e6, 201)
    random = np.random.default_rng(seed)
    noise = (1.0 + 1e-3 * random.normal(size=201)) * np.exp(1j * np.radians(0.1) * random.normal(size=201))
    return fit_transducer(frequency, chip.impedance_ohm(frequency, 600.0) * noise, 2.009e6).channel_hz - true_hz


def main() -> int:
    """Run it; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    drifts_k = np.linspace(-3.0, 3.0, 13)
    # The chip warms by its own sound: what a tracked drive hits is the resonance of the warm chip.
    warm = driven(RESONANCE_HZ, AMPLITUDE_VPP)
    own_hz = warm.transducer.channel_resonance_hz(warm.temperature_c(600.0)) - RESONANCE_HZ
    rows = []
    for k, drift in enumerate(drifts_k):
        still = measure(own_hz - PER_K_HZ * drift, k)
        tracked = measure(own_hz + tracking_error_hz(k), 100 + k)
        rows.append((drift, still, tracked))
    print("drift K | untracked: recovery purity focused | tracked: recovery purity focused")
    for drift, still, tracked in rows:
        cells = [f"{found[name]:.3f}" for found in (still, tracked) for name in ("recovery", "purity", "focused")]
        print(f"{drift:+.1f}    | {' '.join(cells[:3])} | {' '.join(cells[3:])}")
    if options.figure:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharex=True)
        titles = ("recovery", "purity", "focused")
        words = ("Recovery of beaded T cells", "Purity of the centre", "VerifyFocusing: cells in the centre band")
        for axis, name, title in zip(axes, titles, words, strict=True):
            axis.plot(drifts_k, [row[1][name] for row in rows], "o-", label="drive stays", color="C3")
            axis.plot(drifts_k, [row[2][name] for row in rows], "s-", label="resonance tracked", color="C0")
            axis.set(xlabel="drift of the chip [K]", ylim=(0.0, 1.03))
            axis.set_title(title, fontsize=9)
            axis.grid(alpha=0.3)
        axes[0].legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(options.figure, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
