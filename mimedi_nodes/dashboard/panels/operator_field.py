# SPDX-License-Identifier: Apache-2.0
"""Where the operator says who she is."""

from __future__ import annotations

from ..look.language import tr
from ..look.qt import QtWidgets
from .parts import set_mark


class OperatorField(QtWidgets.QLineEdit):
    """A name; where the workcell has accounts, the name of an account with a session here or on this host."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("operator")
        self.setPlaceholderText(tr("your name"))
        self.setToolTip(tr("Goes into the record with each act; with accounts, log in"))
        self.setMaximumWidth(240)
        self.textChanged.connect(lambda: set_mark(self, "missing", False))

    def name(self) -> str:
        """Return the name without surrounding blanks."""
        return self.text().strip()

    def ask(self) -> None:
        """Strike the eye: an act waits for the name."""
        set_mark(self, "missing", True)
        self.setFocus()
