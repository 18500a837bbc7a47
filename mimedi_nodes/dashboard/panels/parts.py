# SPDX-License-Identifier: Apache-2.0
"""Small pieces that the panels are made of."""

from __future__ import annotations

from ..look.qt import QtCore, QtGui, QtWidgets


def label(role: str, text: str = "", name: str = "") -> QtWidgets.QLabel:
    """Return a label in one of the theme's roles; its text is never read as markup."""
    made = QtWidgets.QLabel(text)
    made.setTextFormat(QtCore.Qt.PlainText)
    made.setProperty("role", role)
    made.setIndent(0)  # Qt would indent by half a letter once a label has had a border
    made.setObjectName(name)
    return made


def set_mark(widget: QtWidgets.QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at, and restyle only when it has changed."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    for each in (widget, *widget.findChildren(QtWidgets.QWidget)):
        each.style().unpolish(each)
        each.style().polish(each)


class Panel(QtWidgets.QFrame):
    """A framed part of the window with a title; `mark_stale` dims it and breaks its frame."""

    def __init__(self, title: str, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setProperty("panel", True)
        self.setProperty("stale", False)
        self.body = QtWidgets.QVBoxLayout(self)
        self.body.setContentsMargins(10, 6, 10, 8)
        self.body.setSpacing(4)
        self.title = label("title", title)
        if title:
            self.body.addWidget(self.title)

    def mark_stale(self, stale: bool) -> None:
        """Show that what stands here is no longer true for sure."""
        set_mark(self, "stale", stale)


class ElidedLabel(QtWidgets.QLabel):
    """A label of one line that ends in … where it has no room; the whole text is its tool tip."""

    def __init__(self, role: str, name: str = "") -> None:
        super().__init__()
        self.setProperty("role", role)
        self.setIndent(0)
        self.setObjectName(name)
        self.setTextFormat(QtCore.Qt.PlainText)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self._whole = ""

    def set_whole(self, text: str) -> None:
        """Show a text as far as there is room."""
        if text != self._whole:
            self._whole = text
            self.setToolTip(text)
            self._fit()

    def whole(self) -> str:
        """Return the text without regard to room."""
        return self._whole

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Fit the text anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.contentsRect().width()
        self.setText(self.fontMetrics().elidedText(self._whole, QtCore.Qt.ElideRight, room))


def set_text(widget: QtWidgets.QLabel, text: str) -> None:
    """Set a label's text only when it differs, so that nothing is painted in vain."""
    if widget.text() != text:
        widget.setText(text)
