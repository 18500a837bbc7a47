# SPDX-License-Identifier: Apache-2.0
"""The dialog before a weighty act: who does it and why."""

from __future__ import annotations

from .parts import label
from .qt import QtWidgets


class ActDialog(QtWidgets.QDialog):
    """Asks for person and reason; can be confirmed only when both are given.

    Args:
        title: the act in a word or two, on the confirming button too.
        consequence: what will happen.
        who: person to begin with.
    """

    def __init__(self, title: str, consequence: str, who: str, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(520)
        told = label("", consequence)
        told.setWordWrap(True)
        self.who = QtWidgets.QLineEdit(who)
        self.who.setObjectName("act_who")
        self.why = QtWidgets.QLineEdit()
        self.why.setObjectName("act_why")
        self.why.setPlaceholderText("goes into the batch record")
        form = QtWidgets.QFormLayout()
        form.addRow("Person", self.who)
        form.addRow("Reason", self.why)
        buttons = QtWidgets.QDialogButtonBox()
        self.confirm = buttons.addButton(title, QtWidgets.QDialogButtonBox.AcceptRole)
        self.confirm.setObjectName("act_confirm")
        back = buttons.addButton("Go back", QtWidgets.QDialogButtonBox.RejectRole)
        back.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(12)
        column.addWidget(told)
        column.addLayout(form)
        column.addWidget(buttons)
        for field in (self.who, self.why):
            field.textChanged.connect(self._check)
        (self.why if who else self.who).setFocus()
        self._check()

    def given(self) -> tuple[str, str]:
        """Return person and reason without surrounding blanks."""
        return self.who.text().strip(), self.why.text().strip()

    def _check(self) -> None:
        self.confirm.setEnabled(all(self.given()))
