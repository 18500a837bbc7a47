# SPDX-License-Identifier: Apache-2.0
"""Trends: any measured quantity of any module over process time, with its interval and its limits."""

from __future__ import annotations

import html
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import theme, wording
from .analyses import SWEEP
from .board import Board
from .language import tr
from .module_panel import SILENT_S
from .parts import Panel, label
from .qt import QtCore, QtGui, QtWidgets, pyqtgraph
from .series import Series
from .sweep_plot import SweepPlot
from .trend_panel import DecadeAxis
from .views import AnalysisView, BatchSnapshot, HistoryView, MeasurementView, ModuleView, PlanView

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
MOST_PLOTS = 4
FEW = 30
"""Up to so many values each has a mark of its own: inspections come one in days."""
AXIS_LETTERS = 5.0
"""Room for the numbers of an axis, in heights of a letter."""
DEFAULT = ("incubator/viable_cells", "incubator/liquid_temperature_c", "incubator/glucose_mm", "vision_qc/viability")


@dataclass(frozen=True)
class Look:
    """How a quantity is drawn: in which row, as the last one with the common axis, by decades, with which limits."""

    row: int
    last: bool
    decades: bool
    limits: tuple[float, ...]


class TrendBoard(Board):
    """A tree of all quantities that were heard, and up to four plots of those that are chosen.

    Args:
        now_s: steady clock [s].
    """

    refresh_ms = 2000  # four plots take 40 ms to draw

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("trend_board", tr("Trends"), now_s)
        self._limits: Mapping[str, tuple[float, float]] = {}
        self._to_lay = False
        self._start_s = self._now_s = math.nan
        self._batch_id = ""
        self._heard_s: dict[str, float] = {}
        self._silent: set[str] = set()
        self.series: dict[str, Series] = {}
        self.units: dict[str, str] = {}
        self._changed: set[str] = set()
        self._wanted = list(DEFAULT)
        self._letters = QtGui.QFont()
        self.tree = QtWidgets.QTreeWidget()
        self.tree.setObjectName("quantities")
        self.tree.setHeaderLabels([tr("quantity"), tr("now")])
        self.tree.header().setStretchLastSection(False)
        self.tree.header().setSectionResizeMode(0, QtWidgets.QHeaderView.Stretch)
        self.tree.header().setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeToContents)
        self.tree.setIndentation(12)
        self.tree.itemChanged.connect(self._chosen)
        self._items: dict[str, QtWidgets.QTreeWidgetItem] = {}
        self.span = QtWidgets.QComboBox()
        self.span.setObjectName("span")
        for text, days in ((tr("whole batch"), math.inf), (tr("last day"), 1.0), (tr("last three hours"), 0.125)):
            self.span.addItem(text, days)
        self.span.currentIndexChanged.connect(self._redraw)
        self.log = QtWidgets.QCheckBox(tr("logarithmic counts"))
        self.log.setObjectName("log")
        self.log.setChecked(True)
        self.log.toggled.connect(self._lay_plots)
        self.graphics = pyqtgraph.GraphicsLayoutWidget()
        self.graphics.setBackground(theme.PANEL)
        self.plots: dict[str, pyqtgraph.PlotItem] = {}
        self._looks: dict[str, Look] = {}
        self._laying = QtCore.QTimer(self)
        self._laying.setSingleShot(True)
        self._laying.setInterval(0)
        self._laying.timeout.connect(self._lay_next)
        self.sweeps: dict[str, SweepPlot] = {}
        self._curves: dict[str, pyqtgraph.PlotDataItem] = {}
        self._lay_out()
        self.rescale()
        self.handlers = {
            MeasurementView: self._measured,
            ModuleView: self._module,
            BatchSnapshot: self._batch,
            HistoryView: self._history,
            PlanView: self._plan,
            AnalysisView: self._analysis,
        }

    def _lay_out(self) -> None:
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 10, 10, 10)
        row.setSpacing(8)
        side = Panel(tr("Quantities"), "quantity_panel")
        side.body.addWidget(self.tree, 1)
        side.body.addWidget(self.span)
        side.body.addWidget(self.log)
        self.hint = label("small", tr("Up to {count} at a time.", count=MOST_PLOTS), "hint")
        side.body.addWidget(self.hint)
        row.addWidget(side, 3)
        plots = Panel("", "plots")
        plots.body.addWidget(self.graphics, 1)
        row.addWidget(plots, 7)

    def scaled(self, scale: float) -> None:
        """Draw the axes' letters at the window's scale."""
        self._letters = QtGui.QFont(self.font())
        self._letters.setPixelSize(round(theme.LETTERS_PX["small"] * scale))
        for name, plot in self.plots.items():
            self._style(name, plot)

    def settings(self) -> dict[str, str]:
        """Return what is drawn, too."""
        more = {"quantities": json.dumps(self._wanted), "span": str(self.span.currentIndex())}
        return {**super().settings(), **more, "log": str(int(self.log.isChecked()))}

    def restore(self, settings: Mapping[str, str]) -> None:
        """Take up what was drawn."""
        super().restore(settings)
        try:
            wanted = json.loads(settings.get("quantities", "null"))
        except ValueError:
            wanted = None
        if isinstance(wanted, list) and all(isinstance(name, str) for name in wanted):
            self._wanted = wanted[:MOST_PLOTS]
            self._check_items()
        if settings.get("span", "").isdigit():
            self.span.setCurrentIndex(int(settings["span"]))
        self.log.setChecked(settings.get("log", "1") == "1")

    def shown(self) -> None:
        """Lay the plots out once for all that has come."""
        if self._to_lay:
            self._lay_plots()

    def age(self) -> None:
        """Draw what has been added: a plot takes 10 ms, so not at every value."""
        now_s = self.now_s()
        silent = {module for module, heard_s in self._heard_s.items() if now_s - heard_s > SILENT_S}
        altered = {key for key in self.series if key.split("/", 1)[0] in silent ^ self._silent} | self._changed
        self._silent = silent
        for key in altered & self._items.keys():
            self._items[key].setText(1, self._latest(key))
        for key in self._changed & self._curves.keys():
            self._draw(key)
        for key in altered & self._curves.keys():
            self._head(key)
        self._changed.clear()

    def chosen(self) -> list[str]:
        """Return what is drawn, in order."""
        return [key for key in self._wanted if key in self._items]

    def _batch(self, batch: BatchSnapshot) -> None:
        self._batch_id, self._now_s = batch.batch_id, batch.time_s
        if batch.batch_id and math.isfinite(batch.process_day):
            start_s = batch.time_s - batch.process_day * DAY_S
            if not abs(start_s - self._start_s) < 60.0:
                self._start_s = start_s
                self._redraw()

    def _measured(self, item: MeasurementView) -> None:
        if not math.isfinite(item.value):
            return
        key = self._key(item.module, item.name, item.unit)
        if self.series[key].add(item.time_s, item.value):
            self._changed.add(key)

    def _module(self, view: ModuleView) -> None:
        self._heard_s[view.module] = self.now_s()

    def _plan(self, plan: PlanView) -> None:
        """Take the limits of the batch's product."""
        if plan.limits != self._limits:
            self._limits = plan.limits
            self._to_lay = True

    def _analysis(self, seen: AnalysisView) -> None:
        if seen.name != SWEEP:
            return
        key = f"{seen.module}/{seen.name}"
        if key not in self.sweeps:
            self.sweeps[key] = SweepPlot()
            self._add(seen.module, seen.name, key)
        if self.sweeps[key].show_analysis(seen):
            self._items[key].setText(1, f"{wording.number(seen.values['channel_resonance_hz'] / 1e6, 4)} MHz")
            if key in self.plots:
                self._style(key, self.plots[key])

    def _history(self, history: HistoryView) -> None:
        if history.batch_id != self._batch_id:
            return
        for seen in history.analyses:
            self._analysis(seen)
        for (module, name, unit), points in history.curves.items():
            key = self._key(module, name, unit)
            if self.series[key].precede(points, self._now_s):
                self._changed.add(key)

    def _key(self, module: str, name: str, unit: str) -> str:
        """Return the key of a quantity, which is offered from now on."""
        key = f"{module}/{name}"
        if key not in self.series:
            self.series[key] = Series()
            self.units[key] = wording.unit(unit)
            self._add(module, name, key)
        return key

    def _add(self, module: str, name: str, key: str) -> None:
        self.tree.blockSignals(True)
        parents = self.tree.findItems(wording.humane(module), QtCore.Qt.MatchExactly)
        parent = parents[0] if parents else QtWidgets.QTreeWidgetItem(self.tree, [wording.humane(module)])
        parent.setExpanded(True)
        item = QtWidgets.QTreeWidgetItem(parent, [name, ""])
        item.setFlags(item.flags() | QtCore.Qt.ItemIsUserCheckable)
        item.setData(0, QtCore.Qt.UserRole, key)
        item.setCheckState(0, QtCore.Qt.Checked if key in self._wanted else QtCore.Qt.Unchecked)
        self._items[key] = item
        self.tree.blockSignals(False)
        self._to_lay |= key in self._wanted

    def _check_items(self) -> None:
        self.tree.blockSignals(True)
        for key, item in self._items.items():
            item.setCheckState(0, QtCore.Qt.Checked if key in self._wanted else QtCore.Qt.Unchecked)
        self.tree.blockSignals(False)
        self._lay_plots()

    def _chosen(self, item: QtWidgets.QTreeWidgetItem, column: int) -> None:
        key = item.data(0, QtCore.Qt.UserRole)
        if not key or column:
            return
        if item.checkState(0) == QtCore.Qt.Checked:
            # What was remembered but has never been heard gives way.
            self._wanted = [*self.chosen(), key] if key not in self.chosen() else self.chosen()
            self._wanted = self._wanted[-MOST_PLOTS:]
        else:
            self._wanted = [name for name in self._wanted if name != key]
        self._check_items()

    def _lay_plots(self, *_: object) -> None:
        """Take down what is no longer drawn as it should be; what is new comes one plot at a time: each takes 10 ms."""
        self._to_lay = False
        chosen = self.chosen()
        looks = {key: self._look(chosen, key) for key in chosen}
        for key in [key for key in self.plots if self._looks[key] != looks.get(key)]:
            self.graphics.removeItem(self.plots.pop(key))
            self._curves.pop(key, None)
        self._looks = looks
        self._lay_next()

    def _look(self, chosen: Sequence[str], key: str) -> Look:
        name = key.split("/", 1)[1]
        decades = self.log.isChecked() and ("cells" in name or name.endswith("_per_ml"))
        limits = tuple(limit for limit in self._limits.get(name, ()) if math.isfinite(limit))
        last = [key] == [name for name in chosen if name not in self.sweeps][-1:]
        return Look(chosen.index(key), last, decades, limits)

    def _lay_next(self) -> None:
        missing = [key for key in self.chosen() if key not in self.plots]
        if missing:
            self._lay(missing[0])
        if len(missing) > 1:
            self._laying.start()
            return
        above = None
        for key in self.chosen():
            if key not in self.sweeps:
                self.plots[key].setXLink(above)
                above = self.plots[key]

    def _lay(self, key: str) -> None:
        look = self._looks[key]
        if key in self.sweeps:
            self.plots[key] = self.sweeps[key].plot()
            self.graphics.addItem(self.plots[key], row=look.row, col=0)
            self._style(key, self.plots[key])
            return
        axes = {"left": DecadeAxis("left")} if look.decades else {}
        # A context menu of pyqtgraph's would take half of the time that a plot takes to make.
        plot = self.graphics.addPlot(row=look.row, col=0, axisItems=axes, enableMenu=False)
        self.plots[key] = plot
        self._style(key, plot)
        if look.decades:
            plot.setLogMode(y=True)
        pen, stroke = PENS[look.row % len(PENS)]
        self._curves[key] = plot.plot(
            pen=pyqtgraph.mkPen(pen, width=2, style=stroke), symbolBrush=pen, symbolPen=None, antialias=True
        )
        for limit in look.limits:
            line = pyqtgraph.mkPen(theme.MUTED, width=1, style=QtCore.Qt.DotLine)
            plot.addItem(pyqtgraph.InfiniteLine(limit, angle=0, pen=line), ignoreBounds=True)
        self._draw(key)

    def _style(self, key: str, plot: pyqtgraph.PlotItem) -> None:
        if key in self.sweeps:
            self.sweeps[key].style(plot, wording.humane(key.split("/", 1)[0]), self._letters)
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

    def _latest(self, key: str) -> str:
        """Return the last value of a quantity; with a question mark once its module is silent."""
        doubt = "?" if key.split("/", 1)[0] in self._silent else ""
        return f"{_short(self.series[key].latest())} {self.units[key]}".strip() + doubt

    def _head(self, key: str) -> None:
        """Write the quantity and its last value over its plot, large enough to be read from where one stands."""
        module, name = key.split("/", 1)
        value = self._latest(key)
        colour = theme.STALE if module in self._silent else theme.TEXT
        small, large = (round(theme.LETTERS_PX[role] * self._scale) for role in ("small", "mid"))
        self.plots[key].setTitle(
            f'<span style="font-size: {small}px">{html.escape(wording.humane(module))}: {html.escape(name)}</span>'
            f'&nbsp;&nbsp;&nbsp;<b style="font-size: {large}px">{html.escape(value)}</b>',
            color=colour,
        )

    def _redraw(self, *_: object) -> None:
        for key in self._curves:
            self._draw(key)

    def _draw(self, key: str) -> None:
        series = self.series[key]
        if not series.times_s:
            return
        start_s = self._start_s if math.isfinite(self._start_s) else series.times_s[0]
        days = [(t - start_s) / DAY_S for t in series.times_s]
        positive = self.plots[key].getAxis("left").logMode
        values = [v if v > 0.0 or not positive else math.nan for v in series.values]
        few = len(days) <= FEW
        self._curves[key].setData(days, values, connect="finite", symbol="o" if few else None, symbolSize=6)
        self._show_span(start_s)

    def _show_span(self, start_s: float) -> None:
        """Let all plots begin and end where the longest curve does, or end now; none may choose by its own points."""
        drawn = [self.series[key].times_s for key in self._curves if self.series[key].times_s]
        last = max(times_s[-1] for times_s in drawn)
        width_s = float(self.span.currentData()) * DAY_S
        first = last - width_s if math.isfinite(width_s) else min(times_s[0] for times_s in drawn)
        views = [self.plots[key].getViewBox() for key in self._curves]
        for view in views:  # a view that is linked would follow another's pixels, which are not laid yet
            view.blockLink(True)
        for view in views:
            view.setXRange((first - start_s) / DAY_S, (last - start_s) / DAY_S, padding=0.02)
        for view in views:
            view.blockLink(False)


def _short(value: float) -> str:
    if not math.isfinite(value):
        return wording.UNKNOWN
    if value == 0.0 or 1e-3 <= abs(value) < 1e7:
        return wording.number(value, 0) if abs(value) >= 1e3 else f"{value:.4g}"
    return wording.powers(value)
