# SPDX-License-Identifier: Apache-2.0
"""The window that asks for a signature."""

from __future__ import annotations

from pathlib import Path

from ...records.signatures import MEANINGS
from ..feed.record_reader import SignRequest
from ..look.language import tr
from ..look.qt import QtWidgets
from .parts import label, set_text


class SignDialog(QtWidgets.QDialog):
    """Asks for account, password, meaning and reason; the password stays in this window's process."""

    def __init__(self, run: Path, user: str, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self.setWindowTitle(tr("Sign {batch}", batch=run.name))
        self.setMinimumWidth(560)
        self.user, self.password = QtWidgets.QLineEdit(user), QtWidgets.QLineEdit()
        self.password.setEchoMode(QtWidgets.QLineEdit.Password)
        self.why, self.about = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        self.meaning = QtWidgets.QComboBox()
        for name in MEANINGS:
            if name != "maintenance":
                self.meaning.addItem(name, name)
        for name, field in (("user", self.user), ("password", self.password), ("why", self.why)):
            field.setObjectName(f"sign_{name}")
        self.told = label("small", "")
        self.told.setWordWrap(True)
        form = QtWidgets.QFormLayout()
        form.addRow(tr("Account"), self.user)
        form.addRow(tr("Password"), self.password)
        form.addRow(tr("Meaning"), self.meaning)
        form.addRow(tr("Reason"), self.why)
        form.addRow(tr("About"), self.about)
        buttons = QtWidgets.QDialogButtonBox()
        self.confirm = buttons.addButton(tr("Sign"), QtWidgets.QDialogButtonBox.AcceptRole)
        self.confirm.setObjectName("sign_confirm")
        back = buttons.addButton(tr("Go back"), QtWidgets.QDialogButtonBox.RejectRole)
        back.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.told)
        column.addWidget(buttons)
        self.meaning.currentIndexChanged.connect(self._explain)
        for field in (self.user, self.password):
            field.textChanged.connect(self._check)
        self._explain()
        self._check()

    def given(self) -> SignRequest:
        """Return what was asked for."""
        return SignRequest(
            self._run,
            self.user.text().strip(),
            self.password.text(),
            str(self.meaning.currentData()),
            self.why.text().strip(),
            self.about.text().strip(),
        )

    def _explain(self, *_: object) -> None:
        set_text(self.told, MEANINGS[str(self.meaning.currentData())])

    def _check(self, *_: object) -> None:
        self.confirm.setEnabled(bool(self.user.text().strip() and self.password.text()))
