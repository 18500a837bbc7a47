# SPDX-License-Identifier: Apache-2.0
"""Buttons for the procedure's commands, enabled where the state machine's table allows them."""

from __future__ import annotations

from functools import partial

from ..process.procedure_state import TRANSITIONS, ProcedureCommand, ProcedureState
from .act_dialog import ActDialog
from .parts import ElidedLabel
from .qt import QtWidgets, Signal
from .views import BatchSnapshot, Reply, Request, RequestKind

_C = ProcedureCommand

CONSEQUENCES = {
    _C.PAUSE: "The batch stops at its next safe point; nothing is switched off.",
    _C.RESUME: "The batch goes on from where it was paused.",
    _C.HOLD: "Pumps and sound go off now; heat, gas and stirring of the culture are kept.",
    _C.RESTART: "The held phases start again from their last checkpoint.",
    _C.STOP: "The procedure ends in order and cannot be taken up again. The cells stay where they are.",
    _C.ABORT: "The procedure ends at once and cannot be taken up again. The cells stay where they are.",
}
"""The commands that `mimedi_msgs/CommandBatch` takes, and what each does."""


def allowed(state: str) -> frozenset[ProcedureCommand]:
    """Return the commands that the ISA-88 table allows in a state; none in a state it does not know."""
    if state not in ProcedureState._value2member_map_:
        return frozenset()
    return frozenset(TRANSITIONS[ProcedureState(state)]) & frozenset(CONSEQUENCES)


class CommandPanel(QtWidgets.QWidget):
    """The row of command buttons with the line that tells what became of the last act."""

    requested = Signal(object)
    """Emits a Request once person and reason are confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self._state = ""
        self._present = False
        self._pending: set[str] = set()
        self.who = ""
        self.dialog: ActDialog | None = None
        self.buttons: dict[ProcedureCommand, QtWidgets.QPushButton] = {}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for command in CONSEQUENCES:
            button = QtWidgets.QPushButton(f"&{command.capitalize()}…")
            button.setObjectName(f"command_{command}")
            button.setToolTip(CONSEQUENCES[command])
            button.clicked.connect(partial(self._ask, command))
            row.addWidget(button)
            self.buttons[command] = button
        self.told = ElidedLabel("", "command_told")
        row.addWidget(self.told, 1)
        self._enable()

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Enable what the batch's state allows."""
        self._state = batch.state if batch.batch_id else ""
        self._enable()

    def show_presence(self, present: bool) -> None:
        """Disable everything while the coordinator is not there to take a command."""
        self._present = present
        self._enable()

    def show_reply(self, reply: Reply) -> None:
        """Tell what became of a command and free its button."""
        self._pending.discard(reply.request.act)
        self.told.set_whole(
            f"{reply.request.act} taken" if reply.accepted else f"{reply.request.act} refused: {reply.message}"
        )
        self._enable()

    def _enable(self) -> None:
        open_to = allowed(self._state) if self._present else frozenset()
        for command, button in self.buttons.items():
            button.setEnabled(command in open_to and command not in self._pending)

    def _ask(self, command: ProcedureCommand) -> None:
        if self.dialog is not None:
            self.dialog.reject()
        # open(), not exec(): a modal loop of its own would outlive the window in rqt.
        self.dialog = ActDialog(f"{command.capitalize()} the batch", CONSEQUENCES[command], self.who, self)
        self.dialog.accepted.connect(partial(self._send, command, self.dialog))
        self.dialog.open()

    def _send(self, command: ProcedureCommand, dialog: ActDialog) -> None:
        if command not in allowed(self._state) or not self._present:
            self.told.set_whole(f"{command} not sent: the batch is {self._state or 'gone'} by now")
            return
        who, why = dialog.given()
        self._pending.add(str(command))
        self._enable()
        self.told.set_whole(f"{command} sent …")
        self.requested.emit(Request(RequestKind.COMMAND, "", str(command), who, why))
