# SPDX-License-Identifier: Apache-2.0
"""The gates of the last cytometry: CD3 and CAR of living leukocytes, the cuts between them, and the shares."""

from __future__ import annotations

import math

from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, pyqtgraph
from ..views import AnalysisView
from .parts import ElidedLabel, Panel
from .trend_panel import DecadeAxis


class GatePanel(Panel):
    """A cloud of events on logarithmic axes, with a line at each cut; empty until a cytometry was made."""

    def __init__(self) -> None:
        super().__init__("", "gates")
        self.told = ElidedLabel("title", "gates_told")
        self.body.addWidget(self.told)
        axes = {"left": DecadeAxis("left"), "bottom": DecadeAxis("bottom")}
        self.plot = pyqtgraph.PlotWidget(background=theme.PANEL, axisItems=axes)
        self.plot.setFocusPolicy(QtCore.Qt.NoFocus)
        item = self.plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.setMouseEnabled(False, False)
        item.setLogMode(x=True, y=True)
        for side, text in (("bottom", "CD3"), ("left", "CAR")):
            axis = item.getAxis(side)
            axis.setPen(theme.MUTED)
            axis.setTextPen(theme.TEXT)
            axis.setLabel(text, color=theme.TEXT)
        self.cloud = pyqtgraph.ScatterPlotItem(size=3, pen=None, brush=pyqtgraph.mkBrush(theme.GAUGE))
        line = pyqtgraph.mkPen(theme.TEXT, width=1, style=QtCore.Qt.DashLine)
        self.cuts = [pyqtgraph.InfiniteLine(angle=angle, pen=line) for angle in (90, 0)]
        for each in (self.cloud, *self.cuts):
            item.addItem(each)
        self.body.addWidget(self.plot, 1)
        self.told.set_whole(tr("Gates: no cytometry in this batch yet"))

    def set_font(self, font: QtGui.QFont) -> None:
        """Draw the axes' letters at the window's scale."""
        for side in ("left", "bottom"):
            axis = self.plot.getPlotItem().getAxis(side)
            axis.setTickFont(font)
            axis.label.setFont(font)

    def show_analysis(self, seen: AnalysisView) -> None:
        """Draw an analysis `cytometry`."""
        points = zip(seen.columns["cd3"], seen.columns["car"], strict=True)
        logs = [(math.log10(max(x, 1.0)), math.log10(max(y, 1.0))) for x, y in points]
        self.cloud.setData([x for x, _ in logs], [y for _, y in logs])
        for line, name in zip(self.cuts, ("cd3_cut", "car_cut"), strict=True):
            line.setValue(math.log10(max(seen.values[name], 1.0)))
        self.told.set_whole(
            tr("{cd3} CD3+, of them {car} CAR+", cd3=wording.percent(seen.values["cd3_fraction"]),
               car=wording.percent(seen.values["car_fraction"]))
        )  # fmt: skip


__all__ = ["GatePanel"]
