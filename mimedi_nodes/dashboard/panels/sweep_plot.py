# SPDX-License-Identifier: Apache-2.0
"""An impedance sweep with its fit: conductance over frequency, and where the channel resonates."""

from __future__ import annotations

from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, pyqtgraph
from ..views import AnalysisView


class SweepPlot:
    """Keeps the last sweep and draws it into a plot that is made anew whenever the plots are laid out."""

    def __init__(self) -> None:
        self._seen: AnalysisView | None = None
        self._plot: pyqtgraph.PlotItem | None = None

    def show_analysis(self, seen: AnalysisView) -> bool:
        """Take a sweep; return whether it is news: a record tells again what the topic has told."""
        if self._seen is not None and seen.time_s <= self._seen.time_s and seen.columns == self._seen.columns:
            return False
        self._seen = seen
        if self._plot is not None:
            self._draw(self._plot)
        return True

    def plot(self) -> pyqtgraph.PlotItem:
        """Return a new plot of the sweep; the one before is no longer drawn into."""
        self._plot = pyqtgraph.PlotItem(enableMenu=False)
        self._draw(self._plot)
        return self._plot

    def style(self, plot: pyqtgraph.PlotItem, title: str, letters: QtGui.QFont) -> None:
        """Draw letters at the window's scale."""
        size = f"{letters.pixelSize()}px"
        plot.hideButtons()
        plot.showGrid(x=True, y=True, alpha=0.15)
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(theme.MUTED)
            axis.setTextPen(theme.TEXT)
            axis.setTickFont(letters)
            axis.enableAutoSIPrefix(False)
        told = ""
        if self._seen is not None:
            found = self._seen.values
            told = tr(
                "channel {place} ± {doubt} MHz, Q {quality}",
                place=wording.number(found["channel_resonance_hz"] / 1e6, 4),
                doubt=wording.number(1.96 * found["channel_resonance_sd_hz"] / 1e6, 4),
                quality=wording.number(found.get("channel_q", float("nan")), 0),
            )
        plot.setTitle(f"{title}: {tr('impedance sweep')}  ·  {told}", size=size, color=theme.TEXT)
        words = {"font-size": size, "color": theme.TEXT}
        plot.setLabel("bottom", tr("frequency [MHz]"), **words)
        plot.setLabel("left", tr("conductance [mS]"), **words)

    def _draw(self, plot: pyqtgraph.PlotItem) -> None:
        plot.clear()
        if self._seen is None:
            return
        columns = self._seen.columns
        frequency_mhz = [f / 1e6 for f in columns["frequency_hz"]]
        measured = pyqtgraph.ScatterPlotItem(size=4, pen=None, brush=pyqtgraph.mkBrush(theme.GAUGE))
        measured.setData(frequency_mhz, [1e3 * g for g in columns["conductance_s"]])
        plot.addItem(measured)
        plot.plot(frequency_mhz, [1e3 * g for g in columns["fit_s"]], pen=pyqtgraph.mkPen(theme.TEXT, width=2))
        line = pyqtgraph.mkPen(theme.TEXT, width=1, style=QtCore.Qt.DashLine)
        place_mhz = self._seen.values["channel_resonance_hz"] / 1e6
        plot.addItem(pyqtgraph.InfiniteLine(place_mhz, angle=90, pen=line), ignoreBounds=True)
