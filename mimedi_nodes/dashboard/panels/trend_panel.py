# SPDX-License-Identifier: Apache-2.0
"""Viable cells and temperature of the culture over process time."""

from __future__ import annotations

import html
import math
from collections.abc import Collection

from ..feed.series import Series
from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets, pyqtgraph
from ..views import BatchSnapshot, MeasurementView
from .parts import Panel, label, set_text

DAY_S = 86400.0
CULTURES = ("incubator", "incubator_2")
"""Modules that keep a culture; the first is on every site."""
_EMPTY_DECADES = (8.0, 10.0)
"""What the cells' axis shows before there are cells."""
CELLS, TEMPERATURE = "viable_cells", "liquid_temperature_c"


class DecadeAxis(pyqtgraph.AxisItem):
    """A logarithmic axis with ticks at 1, 2 and 5 of a decade, or at decades alone when there are many; 10⁹ is one."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        decades = range(math.floor(low), math.ceil(high) + 1)
        steps = (1.0, 2.0, 5.0) if high - low < 2.5 else (1.0,)
        ticks = [d + math.log10(step) for d in decades for step in steps]
        return [(1.0, [tick for tick in ticks if low <= tick <= high])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [wording.powers(10.0**value, 0).removeprefix("1 × ") for value in values]


class VesselTrend:
    """One culture vessel in the panel: its values so far, its two curves and its line in the head.

    Args:
        module: the module whose telemetry is drawn.
        colour: of both curves and of its name.
        first: whether it is the vessel that every site has, which names its labels.
    """

    def __init__(self, module: str, colour: str, first: bool) -> None:
        self.module = module
        self.series = {CELLS: Series(), TEMPERATURE: Series()}
        self.stale = False  # while another one is not
        beside = "" if first else f"_{module}"
        self.title = label("title", "")
        self.title.setStyleSheet(f"color: {colour};")
        self.cells = label("mid", "", f"trend_cells{beside}")
        self.temperature = label("mid", "", f"trend_temperature{beside}")
        self.head = QtWidgets.QHBoxLayout()
        self.head.addWidget(self.title)
        self.head.addStretch(1)
        self.head.addWidget(self.cells)
        self.head.addSpacing(24)
        self.head.addWidget(self.temperature)
        self.cells_curve = pyqtgraph.PlotDataItem(pen=pyqtgraph.mkPen(colour, width=2), antialias=True)
        pen = pyqtgraph.mkPen(colour if not first else theme.GAUGE, width=2, style=QtCore.Qt.DashLine)
        self.temperature_curve = pyqtgraph.PlotDataItem(pen=pen, antialias=True)
        self.show_latest()

    def show_latest(self) -> None:
        """Show the newest values; those of a module that is silent with a question mark, as on its tile."""
        doubt = "?" if self.stale else ""
        cells, temperature = (self.series[name].latest() for name in (CELLS, TEMPERATURE))
        set_text(self.cells, tr("{count} cells", count=wording.powers(cells)) + doubt)
        set_text(self.temperature, f"{wording.number(temperature, 1)} °C{doubt}")

    def draw(self, start_s: float) -> None:
        """Draw both curves over days since `start_s` [s]."""
        for name, curve in ((CELLS, self.cells_curve), (TEMPERATURE, self.temperature_curve)):
            series = self.series[name]
            days = [(t - start_s) / DAY_S for t in series.times_s]
            # A logarithmic axis has no place for an empty vessel.
            values = [v if v > 0.0 or name != CELLS else math.nan for v in series.values]
            curve.setData(days, values, connect="finite")


class TrendPanel(Panel):
    """One plot with two axes: viable cells on a logarithmic scale (left), liquid temperature in °C (right).

    A second culture vessel joins it when it is first heard of, with curves and a line in the head of its own.
    """

    def __init__(self) -> None:
        super().__init__("", "trend")
        self.vessels: dict[str, VesselTrend] = {}
        self._start_s = math.nan
        self._batch_id = ""
        self._changed = False
        self._letters_px = theme.LETTERS_PX["small"]
        self._heads = QtWidgets.QVBoxLayout()
        self.body.addLayout(self._heads)
        self.plot = pyqtgraph.PlotWidget(background=theme.PANEL, axisItems={"left": DecadeAxis("left")})
        self.plot.setFocusPolicy(QtCore.Qt.NoFocus)
        self.body.addWidget(self.plot, 1)
        self._build()
        self._add(CULTURES[0])

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
        for side in ("left", "right", "bottom"):
            axis = item.getAxis(side)
            axis.setPen(theme.MUTED)
            axis.setTextPen(theme.TEXT)
            axis.enableAutoSIPrefix(False)
        self._right = pyqtgraph.ViewBox(enableMenu=False, enableMouse=False)
        item.scene().addItem(self._right)
        item.getAxis("right").linkToView(self._right)
        self._right.setXLink(item)
        self._right.setYRange(20.0, 40.0, padding=0.0)
        item.vb.sigResized.connect(lambda: self._right.setGeometry(item.vb.sceneBoundingRect()))

    def _add(self, module: str) -> None:
        first = not self.vessels
        vessel = self.vessels[module] = VesselTrend(module, theme.TEXT if first else theme.STALE, first)
        self._heads.addLayout(vessel.head)
        self.plot.getPlotItem().addItem(vessel.cells_curve)  # which makes it logarithmic, as the plot is
        self._right.addItem(vessel.temperature_curve)
        self._label()
        for each in self.vessels.values():
            alone = len(self.vessels) == 1
            set_text(each.title, tr("Culture") if alone else f"{tr('Culture')} · {wording.module_name(each.module)}")

    def set_scale(self, scale: float) -> None:
        """Draw the axes' letters at the window's scale; a style sheet does not reach them."""
        self._letters_px = round(theme.LETTERS_PX["small"] * scale)
        font = QtGui.QFont(self.font())
        font.setPixelSize(self._letters_px)
        for side in ("left", "right", "bottom"):
            self.plot.getPlotItem().getAxis(side).setTickFont(font)
        self._label()

    def _label(self) -> None:
        """Write what all axes show below the plot: beside so low a plot the titles of the upright ones were cut.

        Curves of two patients share one time: that of the batch which is shown, and which is named then.
        """
        alone = len(self.vessels) < 2 or not self._batch_id
        day = tr("process day") if alone else tr("process day of {batch}", batch=self._batch_id)
        text = f"◂ {tr('viable cells ──')}      {html.escape(day)}      {tr('╌╌ liquid °C')} ▸".replace(" ", "&nbsp;")
        style = {"font-size": f"{self._letters_px}px", "color": theme.TEXT}
        self.plot.getPlotItem().getAxis("bottom").setLabel(text, **style)

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Count days from the start of this batch."""
        if batch.batch_id and math.isfinite(batch.process_day):
            start_s = batch.time_s - batch.process_day * DAY_S
            if batch.batch_id != self._batch_id:
                self._batch_id = batch.batch_id
                self._label()
            # The day is rounded in the message: redraw only for another batch.
            if not abs(start_s - self._start_s) < 60.0:
                self._start_s = start_s
                self._changed = True

    def show_measurements(self, measured: list[MeasurementView]) -> None:
        """Add values, drawn at the next refresh; those of other modules and quantities are ignored."""
        added = set()
        for value in measured:
            if value.module in CULTURES and value.name in (CELLS, TEMPERATURE):
                if value.module not in self.vessels:
                    self._add(value.module)
                if self.vessels[value.module].series[value.name].add(value.time_s, value.value):
                    added.add(value.module)
        for module in added:
            self.vessels[module].show_latest()
            self._changed = True

    def show_silence(self, silent: Collection[str]) -> None:
        """Tell which modules say nothing any more: with all the panel is stale, one of two has question marks."""
        stale = {module for module in self.vessels if module in silent}
        self.mark_stale(len(stale) == len(self.vessels))
        for vessel in self.vessels.values():
            doubtful = vessel.module in stale and len(self.vessels) > 1
            if vessel.stale != doubtful:
                vessel.stale = doubtful
                vessel.show_latest()

    def refresh(self) -> None:
        """Draw what has been added: a full curve takes 10 ms, so not at every value."""
        if self._changed:
            self._changed = False
            self._draw()

    def _draw(self) -> None:
        known = [each for vessel in self.vessels.values() for each in vessel.series.values()]
        first_s = min((series.times_s[0] for series in known if series.times_s), default=math.nan)
        start_s = self._start_s if math.isfinite(self._start_s) else first_s
        for vessel in self.vessels.values():
            vessel.draw(start_s)
        if any(value > 0.0 for vessel in self.vessels.values() for value in vessel.series[CELLS].values):
            self.plot.enableAutoRange("y")
        else:
            self.plot.setYRange(*_EMPTY_DECADES)
