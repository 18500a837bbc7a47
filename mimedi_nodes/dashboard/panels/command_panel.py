# SPDX-License-Identifier: Apache-2.0
"""Buttons for the procedure's commands, enabled where the state machine's table allows them."""

from __future__ import annotations

from functools import partial

from ...process.engine.procedure_state import TRANSITIONS, ProcedureCommand, ProcedureState
from ..look import wording
from ..look.language import later, tr
from ..look.qt import QtWidgets, Signal
from ..views import BatchSnapshot, Reply, Request, RequestKind
from .act_dialog import ActDialog
from .parts import ElidedLabel

_C = ProcedureCommand

CONSEQUENCES = {
    _C.PAUSE: later("The batch stops at its next safe point; nothing is switched off."),
    _C.RESUME: later("The batch goes on from where it was paused."),
    _C.HOLD: later("Pumps and sound go off now; heat, gas and stirring of the culture are kept."),
    _C.RESTART: later("The held phases start again from their last checkpoint."),
    _C.STOP: later("The procedure ends in order and cannot be taken up again. The cells stay where they are."),
    _C.ABORT: later("The procedure ends at once and cannot be taken up again. The cells stay where they are."),
}
"""The commands that `mimedi_msgs/CommandBatch` takes, and what each does."""


TITLES = {
    _C.PAUSE: later("&Pause…"),
    _C.RESUME: later("&Resume…"),
    _C.HOLD: later("&Hold…"),
    _C.RESTART: later("R&estart…"),
    _C.STOP: later("&Stop…"),
    _C.ABORT: later("&Abort…"),
}
"""The buttons' texts, each with a key of its own."""
ACTS = {
    _C.PAUSE: later("Pause the batch"),
    _C.RESUME: later("Resume the batch"),
    _C.HOLD: later("Hold the batch"),
    _C.RESTART: later("Restart the batch"),
    _C.STOP: later("Stop the batch"),
    _C.ABORT: later("Abort the batch"),
}
"""What a dialog confirms."""


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
        self._state = self._batch_id = ""
        self._present, self._awaited = False, True
        self._pending: set[str] = set()
        self.who = ""
        self.dialog: ActDialog | None = None
        self.buttons: dict[ProcedureCommand, QtWidgets.QPushButton] = {}
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for command in CONSEQUENCES:
            button = QtWidgets.QPushButton(tr(TITLES[command]))
            button.setObjectName(f"command_{command}")
            button.clicked.connect(partial(self._ask, command))
            row.addWidget(button)
            self.buttons[command] = button
        self.told = ElidedLabel("", "command_told")
        row.addWidget(self.told, 1)
        self._enable()

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Enable what the batch's state allows."""
        self._state, self._batch_id = batch.state if batch.batch_id else "", batch.batch_id
        self._enable()

    def show_presence(self, present: bool, awaited: bool = False) -> None:
        """Disable everything while the coordinator is not there, or not found yet, to take a command."""
        self._present, self._awaited = present, awaited
        self._enable()

    def show_reply(self, reply: Reply) -> None:
        """Tell what became of a command and free its button."""
        self._pending.discard(reply.request.act)
        act, message = reply.request.act, reply.message
        refused = tr("{act} refused: {message}", act=act, message=message)
        self.told.set_whole(tr("{act} taken", act=act) if reply.accepted else refused)
        self._enable()

    def _enable(self) -> None:
        open_to = allowed(self._state) if self._present else frozenset()
        if not self._present:
            why_not = wording.no_coordinator(self._awaited)
        else:
            why_not = tr("Not possible while {state}", state=self._state.upper()) if self._state else tr("NO BATCH")
        for command, button in self.buttons.items():
            button.setEnabled(command in open_to and command not in self._pending)
            button.setToolTip(tr(CONSEQUENCES[command]) if command in open_to else why_not)

    def _ask(self, command: ProcedureCommand) -> None:
        if self.dialog is not None:
            self.dialog.reject()
        # open(), not exec(): a modal loop of its own would outlive the window in rqt.
        # Of the batch that is shown now, whichever is when it is confirmed.
        self.dialog = ActDialog(tr(ACTS[command]), tr(CONSEQUENCES[command]), self.who, self, self._batch_id)
        self.dialog.accepted.connect(partial(self._send, command, self.dialog))
        self.dialog.open()

    def _send(self, command: ProcedureCommand, dialog: ActDialog) -> None:
        if command not in allowed(self._state) or not self._present or dialog.batch_id != self._batch_id:
            state = self._state or wording.UNKNOWN
            self.told.set_whole(tr("{act} not sent: the batch is {state} by now", act=command, state=state))
            return
        who, why = dialog.given()
        self._pending.add(str(command))
        self._enable()
        self.told.set_whole(tr("{act} sent …", act=command))
        self.requested.emit(Request(RequestKind.COMMAND, "", str(command), who, why, batch_id=dialog.batch_id))
