# SPDX-License-Identifier: Apache-2.0
"""Trends: any measured quantity of any module over process time, with its interval and its limits."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping

from ..board import Board
from ..feed.analyses import SWEEP
from ..feed.series import Series
from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets
from ..panels.module_panel import SILENT_S
from ..panels.parts import Panel, label
from ..panels.sweep_plot import SweepPlot
from ..panels.trend_plots import TrendPlots
from ..views import AnalysisView, BatchSnapshot, HistoryView, MeasurementView, ModuleView, PlanView

DAY_S = 86400.0
MOST_PLOTS = 4
DEFAULT = ("incubator/viable_cells", "incubator/liquid_temperature_c", "incubator/glucose_mm", "vision_qc/viability")


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
        self.span.currentIndexChanged.connect(self._choose_span)
        self.log = QtWidgets.QCheckBox(tr("logarithmic counts"))
        self.log.setObjectName("log")
        self.log.setChecked(True)
        self.log.toggled.connect(self._lay_plots)
        self.sweeps: dict[str, SweepPlot] = {}
        self.graphics = TrendPlots(self.series, self.sweeps, self._latest)
        self.plots = self.graphics.plots
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
        letters = QtGui.QFont(self.font())
        letters.setPixelSize(round(theme.LETTERS_PX["small"] * scale))
        self.graphics.set_scale(letters, scale)

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
            self._items[key].setText(1, self._latest(key)[0])
        self.graphics.draw(self._changed)
        self.graphics.head(altered)
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
                self.graphics.show_from(start_s)

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
            self.graphics.style(key)

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
        parents = self.tree.findItems(wording.module_name(module), QtCore.Qt.MatchExactly)
        parent = parents[0] if parents else QtWidgets.QTreeWidgetItem(self.tree, [wording.module_name(module)])
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

    def _choose_span(self, *_: object) -> None:
        self.graphics.show_span(float(self.span.currentData()))

    def _lay_plots(self, *_: object) -> None:
        self._to_lay = False
        self.graphics.lay(self.chosen(), self._limits, self.log.isChecked())

    def _latest(self, key: str) -> tuple[str, bool]:
        """Return the last value of a quantity and whether its module is silent, which a question mark says, too."""
        silent = key.split("/", 1)[0] in self._silent
        return f"{_short(self.series[key].latest())} {self.units[key]}".strip() + ("?" if silent else ""), silent


def _short(value: float) -> str:
    if not math.isfinite(value):
        return wording.UNKNOWN
    if value == 0.0 or 1e-3 <= abs(value) < 1e7:
        return wording.number(value, 0) if abs(value) >= 1e3 else f"{value:.4g}"
    return wording.powers(value)
