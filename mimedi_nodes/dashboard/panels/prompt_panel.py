# SPDX-License-Identifier: Apache-2.0
"""The question that the batch waits for, with a button for each answer."""

from __future__ import annotations

from functools import partial

from ...process.engine.procedure_state import FINAL_STATES
from ..look import wording
from ..look.language import tr
from ..look.qt import QtWidgets, Signal
from ..look.theme import HELD
from ..views import BatchSnapshot, PromptView, Reply, Request, RequestKind
from .parts import Panel, label, set_text


class PromptPanel(Panel):
    """Shows the oldest open question; hidden when there is none."""

    answered = Signal(object)
    """Emits a Request with its `who` left empty: the window knows the person."""

    def __init__(self) -> None:
        super().__init__(tr("QUESTION"), "prompt")
        self.setStyleSheet(f"QFrame#prompt {{ border: 3px solid {HELD}; }}")
        self._open: dict[tuple[str, str], PromptView] = {}
        self._shown: PromptView | None = None
        self._present = self._sent = False
        self._awaited = True
        self._ended: set[str] = set()
        self._batch_id = ""
        self.question = label("question", "", "prompt_question")
        self.question.setWordWrap(True)
        self.body.addWidget(self.question)
        self._answers = QtWidgets.QWidget()
        self.body.addWidget(self._answers)
        self.told = label("small", "", "prompt_told")
        self.told.setWordWrap(True)
        self.told.hide()
        self.body.addWidget(self.told)
        self.why_not = label("small", "", "prompt_why_not")
        self.why_not.setWordWrap(True)
        self.why_not.hide()
        self.body.addWidget(self.why_not)
        self.buttons: dict[str, QtWidgets.QPushButton] = {}
        self.free_text: QtWidgets.QLineEdit | None = None
        self.hide()

    def show_prompt(self, prompt: PromptView) -> None:
        """Take a question, or the news that it has been answered."""
        key = (prompt.batch_id, prompt.prompt_id)
        if prompt.open:
            self._open[key] = prompt
        else:
            self._open.pop(key, None)
        self._choose()

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Drop the questions of a batch that has ended: nobody waits for them any more."""
        self._batch_id = batch.batch_id
        if batch.state in FINAL_STATES:
            self._ended.add(batch.batch_id)
        else:
            self._ended.discard(batch.batch_id)
        self._choose()

    def show_reply(self, reply: Reply) -> None:
        """Tell why an answer was refused, and let it be given again; an accepted one closes its question by itself."""
        asked = (reply.request.batch_id, reply.request.target)
        if self._shown is not None and asked == (self._shown.batch_id, self._shown.prompt_id):
            self._tell(tr("taken") if reply.accepted else tr("not taken: {message}", message=reply.message))
            self._sent = reply.accepted
            self._enable()

    def show_presence(self, present: bool, awaited: bool = False) -> None:
        """Close the answers, and say why, while the coordinator is not there, or not found yet, to take one."""
        self._present, self._awaited = present, awaited
        self.mark_stale(not present)
        self._enable()

    def _enable(self) -> None:
        why_not = "" if self._present else wording.no_coordinator(self._awaited)
        self._answers.setEnabled(self._present and not self._sent)
        for each in self._answers.findChildren(QtWidgets.QWidget):
            each.setToolTip(why_not)
        set_text(self.why_not, why_not)
        self.why_not.setVisible(bool(why_not))

    def _choose(self) -> None:
        waiting = [prompt for prompt in self._open.values() if prompt.batch_id not in self._ended]
        waiting.sort(key=lambda prompt: prompt.batch_id != self._batch_id)  # of the batch that is shown first
        oldest, count = next(iter(waiting), None), len(waiting)
        set_text(self.title, tr("QUESTION") if count < 2 else tr("QUESTION 1 of {count}", count=count))
        if oldest != self._shown:
            self._shown = oldest
            if oldest is not None:
                self._lay_out(oldest)
        self.setVisible(oldest is not None)

    def _lay_out(self, prompt: PromptView) -> None:
        of_another = prompt.batch_id != self._batch_id and self._batch_id
        set_text(self.question, f"{prompt.batch_id}: {prompt.question}" if of_another else prompt.question)
        self._tell("")
        fresh = QtWidgets.QWidget()
        self.body.replaceWidget(self._answers, fresh)
        self._answers.hide()  # at once: it goes only when Qt's loop comes round, and would take a click until then
        self._answers.deleteLater()
        self._answers = fresh
        row = QtWidgets.QHBoxLayout(fresh)
        row.setContentsMargins(0, 0, 0, 0)
        self.buttons, self.free_text = {}, None
        if not prompt.answers:
            field = self.free_text = QtWidgets.QLineEdit()
            field.setObjectName("prompt_text")
            send = QtWidgets.QPushButton(tr("Answer"))
            send.setEnabled(False)
            field.textChanged.connect(lambda text: send.setEnabled(bool(text.strip())))
            send.clicked.connect(lambda: self._give(field.text().strip()))
            field.returnPressed.connect(send.click)  # as a label scanner ends its line
            row.addWidget(field, 1)
            row.addWidget(send)
            self.buttons["Answer"] = send
        for answer in prompt.answers:
            button = QtWidgets.QPushButton(answer.replace("&", "&&"))
            button.clicked.connect(partial(self._give, answer))
            row.addWidget(button)
            self.buttons[answer] = button
        if prompt.answers:
            row.addStretch(1)
        self._sent = False
        self._enable()

    def _give(self, answer: str, *_: object) -> None:
        if self._shown is not None:
            shown = self._shown
            self.answered.emit(Request(RequestKind.ANSWER, shown.prompt_id, answer, "", batch_id=shown.batch_id))

    def mark_sent(self) -> None:
        """Lock the answers until the reply."""
        self._sent = True
        self._enable()
        self._tell(tr("sent …"))

    def _tell(self, text: str) -> None:
        set_text(self.told, text)
        self.told.setVisible(bool(text))
