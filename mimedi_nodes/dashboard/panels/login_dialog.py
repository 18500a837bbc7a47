# SPDX-License-Identifier: Apache-2.0
"""The dialog in which a person logs in; her password stays in this window's process."""

from __future__ import annotations

from ..look.language import tr
from ..look.qt import QtWidgets, Signal
from .parts import label, set_text


class LoginDialog(QtWidgets.QDialog):
    """Asks for account and password, and stays open until they are right.

    Args:
        user: account to begin with.
    """

    given = Signal(str, str)
    """Emits account and password."""

    def __init__(self, user: str, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Log in"))
        self.setMinimumWidth(440)
        self.user, self.password = QtWidgets.QLineEdit(user), QtWidgets.QLineEdit()
        self.user.setObjectName("login_user")
        self.password.setObjectName("login_password")
        self.password.setEchoMode(QtWidgets.QLineEdit.Password)
        form = QtWidgets.QFormLayout()
        form.addRow(tr("Account"), self.user)
        form.addRow(tr("Password"), self.password)
        self.told = label("small", "", "login_told")
        self.told.setWordWrap(True)
        buttons = QtWidgets.QDialogButtonBox()
        self.confirm = buttons.addButton(tr("Log in"), QtWidgets.QDialogButtonBox.AcceptRole)
        self.confirm.setObjectName("login_confirm")
        buttons.addButton(tr("Go back"), QtWidgets.QDialogButtonBox.RejectRole)
        buttons.accepted.connect(self._give)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(12)
        column.addLayout(form)
        column.addWidget(self.told)
        column.addWidget(buttons)
        for field in (self.user, self.password):
            field.textChanged.connect(self._check)
        (self.password if user else self.user).setFocus()
        self._check()

    def refuse(self, message: str) -> None:
        """Tell why it was refused, and let it be tried again."""
        self.password.clear()
        set_text(self.told, message)
        self.password.setFocus()
        self._check()

    def _give(self) -> None:
        self.confirm.setEnabled(False)
        set_text(self.told, tr("looking …"))
        self.given.emit(self.user.text().strip(), self.password.text())

    def _check(self, *_: object) -> None:
        self.confirm.setEnabled(bool(self.user.text().strip() and self.password.text()))
