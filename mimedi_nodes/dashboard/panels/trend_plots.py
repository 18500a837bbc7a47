# SPDX-License-Identifier: Apache-2.0
"""The plots of the trends, one above the other on one axis of time."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ..feed.series import Series
from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, pyqtgraph
from .sweep_plot import SweepPlot
from .trend_panel import DecadeAxis

DAY_S = 86400.0
PENS = (
    (theme.TEXT, QtCore.Qt.SolidLine),
    ("#1f4e79", QtCore.Qt.SolidLine),
    ("#6b4e2e", QtCore.Qt.SolidLine),
    ("#3d6b4f", QtCore.Qt.SolidLine),
    (theme.TEXT, QtCore.Qt.DashLine),
    ("#1f4e79", QtCore.Qt.DashLine),
)
"""Curves' colours and strokes: dark ones, that none is taken for an alarm."""
FEW = 30
"""Up to so many values each has a mark of its own: inspections come one in days."""
AXIS_LETTERS = 5.0
"""Room for the numbers of an axis, in heights of a letter."""


@dataclass(frozen=True)
class Look:
    """How a quantity is drawn: in which row, as the last one with the common axis, by decades, with which limits."""

    row: int
    last: bool
    decades: bool
    limits: tuple[float, ...]


class TrendPlots(pyqtgraph.GraphicsLayoutWidget):
    """One plot for each quantity that is drawn.

    Args:
        series: values of each quantity by its key, module/name; read when it is drawn.
        sweeps: quantities that are no curves over time, by key.
        latest: returns the last value of a quantity as text, and whether it is in doubt.
    """

    def __init__(
        self,
        series: Mapping[str, Series],
        sweeps: Mapping[str, SweepPlot],
        latest: Callable[[str], tuple[str, bool]],
    ) -> None:
        super().__init__()
        self.setBackground(theme.PANEL)
        self._series, self._sweeps, self._latest = series, sweeps, latest
        self.plots: dict[str, pyqtgraph.PlotItem] = {}
        self.curves: dict[str, pyqtgraph.PlotDataItem] = {}
        self._looks: dict[str, Look] = {}
        self._chosen: list[str] = []
        self._letters, self._scale = QtGui.QFont(), 1.0
        self._start_s, self._span_d = math.nan, math.inf
        self._laying = QtCore.QTimer(self)
        self._laying.setSingleShot(True)
        self._laying.setInterval(0)
        self._laying.timeout.connect(self._lay_next)

    def set_scale(self, letters: QtGui.QFont, scale: float) -> None:
        """Draw the axes' letters at the window's scale."""
        self._letters, self._scale = letters, scale
        for key in self.plots:
            self.style(key)

    def show_from(self, start_s: float) -> None:
        """Count days from this process time [s]."""
        self._start_s = start_s
        self.draw(self.curves)

    def show_span(self, days: float) -> None:
        """Show so many of the last days [d], all with inf."""
        self._span_d = days
        self.draw(self.curves)

    def draw(self, keys: Collection[str]) -> None:
        """Draw those of these quantities that have a plot."""
        for key in [key for key in self.curves if key in keys]:
            self._draw(key)

    def lay(self, chosen: Sequence[str], limits: Mapping[str, tuple[float, float]], decades: bool) -> None:
        """Take down what is no longer drawn as it should be; what is new comes one plot at a time: each takes 10 ms.

        Args:
            chosen: keys of what is drawn, in order.
            limits: lower and upper limit of quantities by name, NaN or infinite where there is none.
            decades: whether counts of cells have a logarithmic axis.
        """
        self._chosen = list(chosen)
        looks = {key: self._look(key, limits, decades) for key in chosen}
        for key in [key for key in self.plots if self._looks[key] != looks.get(key)]:
            self.removeItem(self.plots.pop(key))
            self.curves.pop(key, None)
        self._looks = looks
        self._lay_next()

    def _look(self, key: str, limits: Mapping[str, tuple[float, float]], decades: bool) -> Look:
        name = key.split("/", 1)[1]
        counts = "cells" in name or name.endswith("_per_ml")
        finite = tuple(limit for limit in limits.get(name, ()) if math.isfinite(limit))
        last = [key] == [name for name in self._chosen if name not in self._sweeps][-1:]
        return Look(self._chosen.index(key), last, decades and counts, finite)

    def _lay_next(self) -> None:
        missing = [key for key in self._chosen if key not in self.plots]
        if missing:
            self._lay(missing[0])
        if len(missing) > 1:
            self._laying.start()
            return
        above = None
        for key in self._chosen:
            if key not in self._sweeps:
                self.plots[key].setXLink(above)
                above = self.plots[key]

    def _lay(self, key: str) -> None:
        look = self._looks[key]
        if key in self._sweeps:
            self.plots[key] = self._sweeps[key].plot()
            self.addItem(self.plots[key], row=look.row, col=0)
            self.style(key)
            return
        axes = {"left": DecadeAxis("left")} if look.decades else {}
        # A context menu of pyqtgraph's would take half of the time that a plot takes to make.
        plot = self.addPlot(row=look.row, col=0, axisItems=axes, enableMenu=False)
        self.plots[key] = plot
        self.style(key)
        if look.decades:
            plot.setLogMode(y=True)
        pen, stroke = PENS[look.row % len(PENS)]
        self.curves[key] = plot.plot(
            pen=pyqtgraph.mkPen(pen, width=2, style=stroke), symbolBrush=pen, symbolPen=None, antialias=True
        )
        for limit in look.limits:
            line = pyqtgraph.mkPen(theme.MUTED, width=1, style=QtCore.Qt.DotLine)
            plot.addItem(pyqtgraph.InfiniteLine(limit, angle=0, pen=line), ignoreBounds=True)
        self._draw(key)

    def style(self, key: str) -> None:
        """Draw axes and title of a plot in the letters of now; nothing where there is none."""
        plot = self.plots.get(key)
        if plot is None:
            return
        if key in self._sweeps:
            self._sweeps[key].style(plot, wording.module_name(key.split("/", 1)[0]), self._letters)
            return
        plot.hideButtons()
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.setLimits(minXRange=0.01)
        size = f"{self._letters.pixelSize()}px"
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(theme.MUTED)
            axis.setTextPen(theme.TEXT)
            axis.setTickFont(self._letters)
            axis.enableAutoSIPrefix(False)
            if side == "left":
                axis.setWidth(round(AXIS_LETTERS * self._letters.pixelSize()))  # all plots begin at one place
        self._head(key)
        below = tr("process day") if self._looks[key].last else None
        plot.setLabel("bottom", below, **{"font-size": size, "color": theme.TEXT})

    def head(self, keys: Collection[str]) -> None:
        """Write the last values over those of these quantities that have a plot."""
        for key in [key for key in self.curves if key in keys]:
            self._head(key)

    def _head(self, key: str) -> None:
        """Write the quantity and its last value over its plot, large enough to be read from where one stands."""
        module, name = key.split("/", 1)
        value, doubtful = self._latest(key)
        colour = theme.STALE if doubtful else theme.TEXT
        small, large = (round(theme.LETTERS_PX[role] * self._scale) for role in ("small", "mid"))
        self.plots[key].setTitle(
            f'<span style="font-size: {small}px">{html.escape(wording.module_name(module))}: {html.escape(name)}</span>'
            f'&nbsp;&nbsp;&nbsp;<b style="font-size: {large}px">{html.escape(value)}</b>',
            color=colour,
        )

    def _draw(self, key: str) -> None:
        series = self._series[key]
        if not series.times_s:
            return
        start_s = self._start_s if math.isfinite(self._start_s) else series.times_s[0]
        days = [(t - start_s) / DAY_S for t in series.times_s]
        positive = self.plots[key].getAxis("left").logMode
        values = [v if v > 0.0 or not positive else math.nan for v in series.values]
        few = len(days) <= FEW
        self.curves[key].setData(days, values, connect="finite", symbol="o" if few else None, symbolSize=6)
        self._share_span(start_s)

    def _share_span(self, start_s: float) -> None:
        """Let all plots begin and end where the longest curve does, or end now; none may choose by its own points."""
        drawn = [self._series[key].times_s for key in self.curves if self._series[key].times_s]
        last = max(times_s[-1] for times_s in drawn)
        width_s = self._span_d * DAY_S
        first = last - width_s if math.isfinite(width_s) else min(times_s[0] for times_s in drawn)
        views = [self.plots[key].getViewBox() for key in self.curves]
        for view in views:  # a view that is linked would follow another's pixels, which are not laid yet
            view.blockLink(True)
        for view in views:
            view.setXRange((first - start_s) / DAY_S, (last - start_s) / DAY_S, padding=0.02)
        for view in views:
            view.blockLink(False)
