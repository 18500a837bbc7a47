# SPDX-License-Identifier: Apache-2.0
"""The dialog before a weighty act: who does it and why."""

from __future__ import annotations

from ..look.language import tr
from ..look.qt import QtWidgets
from .parts import label


class ActDialog(QtWidgets.QDialog):
    """Asks for person and reason; can be confirmed only when both are given.

    Args:
        title: the act in a word or two, on the confirming button too.
        consequence: what will happen.
        who: person to begin with.
        batch_id: batch that it is about.
    """

    def __init__(
        self, title: str, consequence: str, who: str, parent: QtWidgets.QWidget | None = None, batch_id: str = ""
    ) -> None:
        super().__init__(parent)
        self.batch_id = batch_id
        self.setWindowTitle(f"{title}  ·  {batch_id}" if batch_id else title)
        self.setMinimumWidth(520)
        told = label("", consequence)
        told.setWordWrap(True)
        self.who = QtWidgets.QLineEdit(who)
        self.who.setObjectName("act_who")
        self.why = QtWidgets.QLineEdit()
        self.why.setObjectName("act_why")
        self.why.setPlaceholderText(tr("goes into the batch record"))
        self.form = QtWidgets.QFormLayout()
        self.form.addRow(tr("Person"), self.who)
        self.form.addRow(tr("Reason"), self.why)
        buttons = QtWidgets.QDialogButtonBox()
        self.confirm = buttons.addButton(title, QtWidgets.QDialogButtonBox.AcceptRole)
        self.confirm.setObjectName("act_confirm")
        back = buttons.addButton(tr("Go back"), QtWidgets.QDialogButtonBox.RejectRole)
        back.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(12)
        column.addWidget(told)
        column.addLayout(self.form)
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


class ShelveDialog(ActDialog):
    """Asks for person, reason and, to shelve, for how long.

    Args:
        alarm_id: the alarm.
        shelve: whether it is put on the shelf; otherwise it is taken from it.
        who: person to begin with.
    """

    def __init__(self, alarm_id: str, shelve: bool, who: str, parent: QtWidgets.QWidget | None = None) -> None:
        told = tr("The alarm {alarm} is not heard until it comes back by itself.", alarm=alarm_id)
        back = tr("The alarm {alarm} is heard again.", alarm=alarm_id)
        super().__init__(tr("Shelve") if shelve else tr("Unshelve"), told if shelve else back, who, parent)
        self._hours = QtWidgets.QDoubleSpinBox()
        self._hours.setObjectName("shelve_hours")
        self._hours.setRange(0.25, 24.0)
        self._hours.setSingleStep(0.25)
        self._hours.setValue(1.0)
        self._hours.setSuffix(" h")
        self._shelve = shelve
        if shelve:
            self.form.addRow(tr("Time"), self._hours)

    def hours(self) -> float:
        """Return after which time it comes back [h], 0 when it is taken from the shelf."""
        return float(self._hours.value()) if self._shelve else 0.0
