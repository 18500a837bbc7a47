# SPDX-License-Identifier: Apache-2.0
"""The modules side by side, each with its MTP state; one that is silent is shown as stale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...process.service_state import ServiceState
from ..look import wording
from ..look.language import tr
from ..look.qt import QtWidgets
from ..views import ModuleView
from .parts import ElidedLabel, Panel, label, set_mark, set_text

SILENT_S = 5.0
"""Steady time [s] without a sign of life after which a module's state is stale; modules repeat it every second."""

MOST_IN_A_ROW = 5
_HELD = {ServiceState.PAUSING, ServiceState.PAUSED, ServiceState.HOLDING, ServiceState.HELD}
_WORKING = frozenset(ServiceState) - {
    ServiceState.IDLE,
    ServiceState.STOPPED,
    ServiceState.ABORTED,
    ServiceState.COMPLETED,
    ServiceState.RESETTING,
}
_ENDED_BADLY = {ServiceState.STOPPING, ServiceState.ABORTING, ServiceState.ABORTED}


def attention(state: int) -> str:
    """Return the theme's mark of an MTP state; empty for a normal one, `stale` for a code that is none."""
    if state in _HELD:
        return "held"
    if state in _ENDED_BADLY:
        return "high"
    return "" if state in ServiceState._value2member_map_ else "stale"


def state_word(state: int) -> str:
    """Return the name of an MTP state, or its code when it is none."""
    return ServiceState(state).name if state in ServiceState._value2member_map_ else f"CODE {state}?"


class ModuleTile(Panel):
    """One module."""

    def __init__(self, module: str) -> None:
        super().__init__(wording.module_name(module), f"module_{module}")
        self.state = label("state", tr("NO DATA"), f"{module}_state")
        self.action = ElidedLabel("", f"{module}_action")
        self.step = ElidedLabel("small", f"{module}_step")
        self.progress = QtWidgets.QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setProperty("thin", True)
        self.body.addWidget(self.state)
        for widget in (self.action, self.step, self.progress):
            self.body.addWidget(widget)
        self._heard_s = -math.inf
        self._view: ModuleView | None = None

    def compact(self, compact: bool) -> None:
        """Leave out what the phase is doing, where modules stand in two rows; the tool tip has it."""
        self.action.setVisible(not compact)

    def show_view(self, view: ModuleView, now_s: float) -> None:
        """Show a state heard at steady time `now_s` [s]."""
        self._heard_s, self._view = now_s, view
        working = view.state in _WORKING
        running = working and math.isfinite(view.progress)
        action = wording.humane(_spaced(view.action))
        self.action.set_whole(action if working or not action else tr("last: {action}", action=action.lower()))
        set_mark(self.action, "role", "" if working else "small")
        # The last error stays in the message after its cure: it explains an abnormal state, not a normal one.
        error = view.last_error if attention(view.state) else ""
        self.step.set_whole(error or view.step or view.phase_id)
        self.progress.setValue(round(1000.0 * min(max(view.progress, 0.0), 1.0)) if running else 0)
        self.refresh(now_s)

    def refresh(self, now_s: float) -> None:
        """Show how old the state is."""
        silent_s = now_s - self._heard_s
        stale = silent_s > SILENT_S
        self.mark_stale(stale)
        set_mark(self.state, "attention", "stale" if stale or self._view is None else attention(self._view.state))
        if self._view is None:
            set_text(self.state, tr("NO DATA"))
        elif stale:
            set_text(self.state, f"{state_word(self._view.state)}?")
            self.step.set_whole(tr("no sign of life for {time}", time=wording.seconds(silent_s)))
        else:
            set_text(self.state, state_word(self._view.state))

    @property
    def stale(self) -> bool:
        """Whether the state shown is stale."""
        return bool(self.property("stale"))


class ModulePanel(QtWidgets.QWidget):
    """Modules side by side in the order given; one that nobody named is added when it is heard of.

    Args:
        modules: names of the modules that should be there.
        now_s: steady clock [s].
    """

    def __init__(self, modules: Sequence[str], now_s: Callable[[], float]) -> None:
        super().__init__()
        self._now_s = now_s
        self._grid = QtWidgets.QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self.tiles: dict[str, ModuleTile] = {}
        for module in modules:
            self._add(module)
        self.refresh()

    def _add(self, module: str) -> ModuleTile:
        tile = self.tiles[module] = ModuleTile(module)
        # Side by side up to what a window of 1280 columns holds, then in two rows.
        columns = len(self.tiles) if len(self.tiles) <= MOST_IN_A_ROW else math.ceil(len(self.tiles) / 2)
        for number, each in enumerate(self.tiles.values()):
            each.compact(columns < len(self.tiles))
            self._grid.addWidget(each, number // columns, number % columns)
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, int(column < columns))
        return tile

    def show_module(self, view: ModuleView) -> None:
        """Show a module's state, heard now."""
        tile = self.tiles.get(view.module) or self._add(view.module)
        tile.show_view(view, self._now_s())

    def refresh(self) -> None:
        """Show how old the states are."""
        for tile in self.tiles.values():
            tile.refresh(self._now_s())


def _spaced(camel: str) -> str:
    """`ExpandCulture` → `expand culture`."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in camel).strip()
