# SPDX-License-Identifier: Apache-2.0
"""Viable cells and temperature of the culture over process time."""

from __future__ import annotations

import math

from . import theme, wording
from .language import later, tr
from .parts import Panel, label, set_text
from .qt import QtCore, QtGui, QtWidgets, pyqtgraph
from .series import Series
from .views import BatchSnapshot, MeasurementView

DAY_S = 86400.0
_EMPTY_DECADES = (8.0, 10.0)
"""What the cells' axis shows before there are cells."""
_LABELS = {"left": later("viable cells ──"), "right": later("liquid °C ╌╌"), "bottom": later("process day")}
CELLS, TEMPERATURE = "viable_cells", "liquid_temperature_c"


class DecadeAxis(pyqtgraph.AxisItem):
    """A logarithmic axis with ticks at 1, 2 and 5 of a decade, or at decades alone when there are many."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        decades = range(math.floor(low), math.ceil(high) + 1)
        steps = (1.0, 2.0, 5.0) if high - low < 2.5 else (1.0,)
        ticks = [d + math.log10(step) for d in decades for step in steps]
        return [(1.0, [tick for tick in ticks if low <= tick <= high])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [wording.powers(10.0**value, 0) for value in values]


class TrendPanel(Panel):
    """One plot with two axes: viable cells on a logarithmic scale (left), liquid temperature in °C (right).

    Args:
        module: the module whose telemetry is drawn.
    """

    def __init__(self, module: str = "incubator") -> None:
        super().__init__("", "trend")
        self._module = module
        self.series = {CELLS: Series(), TEMPERATURE: Series()}
        self._start_s = math.nan
        self._changed = False
        head = QtWidgets.QHBoxLayout()
        head.addWidget(label("title", tr("Culture")))
        head.addStretch(1)
        self.cells = label("mid", "", "trend_cells")
        self.temperature = label("mid", "", "trend_temperature")
        head.addWidget(self.cells)
        head.addSpacing(24)
        head.addWidget(self.temperature)
        self.body.addLayout(head)
        self.plot = pyqtgraph.PlotWidget(background=theme.PANEL, axisItems={"left": DecadeAxis("left")})
        self.plot.setFocusPolicy(QtCore.Qt.NoFocus)
        self.body.addWidget(self.plot, 1)
        self._build()
        self._show_latest()

    def _build(self) -> None:
        item = self.plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.setMouseEnabled(False, False)
        item.showGrid(x=True, y=True, alpha=0.15)
        item.setLogMode(y=True)
        item.setLimits(minXRange=0.1)  # in days: the first minutes of a batch are no curve
        item.showAxis("right")
        item.getAxis("right").setLogMode(False, False)
        for side in _LABELS:
            axis = item.getAxis(side)
            axis.setPen(theme.MUTED)
            axis.setTextPen(theme.TEXT)
            axis.enableAutoSIPrefix(False)
        self._cells_curve = item.plot(pen=pyqtgraph.mkPen(theme.TEXT, width=2), antialias=True)
        self._right = pyqtgraph.ViewBox(enableMenu=False, enableMouse=False)
        item.scene().addItem(self._right)
        item.getAxis("right").linkToView(self._right)
        self._right.setXLink(item)
        self._temperature_curve = pyqtgraph.PlotDataItem(
            pen=pyqtgraph.mkPen(theme.GAUGE, width=2, style=QtCore.Qt.DashLine), antialias=True
        )
        self._right.addItem(self._temperature_curve)
        self._right.setYRange(20.0, 40.0, padding=0.0)
        item.vb.sigResized.connect(lambda: self._right.setGeometry(item.vb.sceneBoundingRect()))

    def set_scale(self, scale: float) -> None:
        """Draw the axes' letters at the window's scale; a style sheet does not reach them."""
        size_px = round(theme.LETTERS_PX["small"] * scale)
        font = QtGui.QFont(self.font())
        font.setPixelSize(size_px)
        for side, text in _LABELS.items():
            axis = self.plot.getPlotItem().getAxis(side)
            axis.setTickFont(font)
            axis.setLabel(tr(text), **{"font-size": f"{size_px}px", "color": theme.TEXT})

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Count days from the start of this batch."""
        if batch.batch_id and math.isfinite(batch.process_day):
            start_s = batch.time_s - batch.process_day * DAY_S
            # The day is rounded in the message: redraw only for another batch.
            if not abs(start_s - self._start_s) < 60.0:
                self._start_s = start_s
                self._changed = True

    def show_measurements(self, measured: list[MeasurementView]) -> None:
        """Add values, drawn at the next refresh; those of other modules and quantities are ignored."""
        added = False
        for value in measured:
            if value.module == self._module and value.name in self.series:
                added |= self.series[value.name].add(value.time_s, value.value)
        if added:
            self._show_latest()
            self._changed = True

    def refresh(self) -> None:
        """Draw what has been added: a full curve takes 10 ms, so not at every value."""
        if self._changed:
            self._changed = False
            self._draw()

    def _show_latest(self) -> None:
        set_text(self.cells, tr("{count} cells", count=wording.powers(self.series[CELLS].latest())))
        set_text(self.temperature, f"{wording.number(self.series[TEMPERATURE].latest(), 1)} °C")

    def _draw(self) -> None:
        first_s = min((s.times_s[0] for s in self.series.values() if s.times_s), default=math.nan)
        start_s = self._start_s if math.isfinite(self._start_s) else first_s
        for name, curve in ((CELLS, self._cells_curve), (TEMPERATURE, self._temperature_curve)):
            series = self.series[name]
            days = [(t - start_s) / DAY_S for t in series.times_s]
            # A logarithmic axis has no place for an empty vessel.
            values = [v if v > 0.0 or name != CELLS else math.nan for v in series.values]
            curve.setData(days, values, connect="finite")
        if any(value > 0.0 for value in self.series[CELLS].values):
            self.plot.enableAutoRange("y")
        else:
            self.plot.setYRange(*_EMPTY_DECADES)
