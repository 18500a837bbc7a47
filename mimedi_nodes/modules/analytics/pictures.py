# SPDX-License-Identifier: Apache-2.0
"""The picture of a stiffness measurement for the report: where which cell lies, and how the moduli are distributed."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from .stiffness import ModulusFit

Place = tuple[float, float]


def stiffness_picture(
    fits: Mapping[int, ModulusFit], places_m: Mapping[int, Place], median_pa: float, interval_pa: tuple[float, float]
) -> bytes:
    """Return a PNG: map of the moduli relative to the median, and their histogram.

    Args:
        fits: modulus by cell. places_m: where each cell lies on the dish [m]. median_pa, interval_pa: of all cells.
    """
    # Matplotlib's own figure, without pyplot: no state, no window; imported where a picture is drawn.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells = list(fits)
    relative = np.array([fits[cell].modulus_pa / median_pa for cell in cells])
    places = 1e6 * np.array([places_m[cell] for cell in cells])
    figure = Figure(figsize=(8.0, 3.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    drawn = left.scatter(
        places[:, 0], places[:, 1], c=np.log2(relative), s=60.0, cmap="coolwarm", vmin=-2.0, vmax=2.0, edgecolors="0.3"
    )
    bar = figure.colorbar(drawn, ax=left, ticks=[-2, -1, 0, 1, 2], label="modulus over the median")
    bar.ax.set_yticklabels(["1/4", "1/2", "1", "2", "4"])
    left.set(xlabel="x [um]", ylabel="y [um]", title=f"{len(cells)} cells", aspect="equal")
    moduli = relative * median_pa
    edges = np.geomspace(0.9 * moduli.min(), 1.1 * moduli.max(), 16)
    right.hist(moduli, edges, color="0.6")
    right.axvline(median_pa, color="C3", label=f"median {median_pa:.0f} Pa")
    right.axvspan(*interval_pa, color="C3", alpha=0.2, label="95 % interval")
    right.set(xscale="log", xlabel="Young's modulus [Pa]", ylabel="cells")
    right.legend(fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
