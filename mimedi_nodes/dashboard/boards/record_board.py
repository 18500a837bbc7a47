# SPDX-License-Identifier: Apache-2.0
"""Records: the batches, what is not routine in them, every row, the release table, signatures, verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..board import Board
from ..feed.record_reader import LISTING, Failed, RecordReader, RecordView, RunView, Verified
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets, Signal
from ..look.record_words import beside, exception_row, heading, is_quiet, test_row
from ..panels.parts import ElidedLabel, Panel, label, set_mark, set_text
from ..panels.sign_dialog import SignDialog


class Rows(QtCore.QAbstractTableModel):
    """Rows of texts for a table of any length: only what is seen is asked for."""

    def __init__(self, headers: Sequence[str]) -> None:
        super().__init__()
        self._headers = list(headers)
        self.rows: Sequence[tuple[str, ...]] = ()

    def show_rows(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Take other rows."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QtCore.QModelIndex | None = None) -> int:
        return len(self.rows)

    def columnCount(self, parent: QtCore.QModelIndex | None = None) -> int:
        return len(self._headers)

    def headerData(self, section: int, orientation: int, role: int = 0) -> object:
        if role == QtCore.Qt.DisplayRole and orientation == QtCore.Qt.Horizontal:
            return self._headers[section]
        return None

    def data(self, index: QtCore.QModelIndex, role: int = 0) -> object:
        if role in (QtCore.Qt.DisplayRole, QtCore.Qt.ToolTipRole):
            return self.rows[index.row()][index.column()]
        return None


class RecordBoard(Board):
    """The batch records of a runs folder on this machine.

    Args:
        runs_dir: the runs folder.
        now_s: steady clock [s].
    """

    came = Signal(object)

    def __init__(self, runs_dir: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("record_board", tr("Record"), now_s)
        self._runs: tuple[RunView, ...] = ()
        self.chosen = ""
        """Name of the batch that is chosen in the list; its record may not have been read yet, or not be readable."""
        self.record: RecordView | None = None
        self.dialog: SignDialog | None = None
        self.reader = RecordReader(runs_dir, self.came.emit)
        self.came.connect(self._take, QtCore.Qt.QueuedConnection)
        self._build()
        self._lay_out()
        self.rescale()
        self.reader.list_runs()

    def _build(self) -> None:
        self.list = QtWidgets.QListWidget()
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.list.setObjectName("runs")
        self.list.setSpacing(3)
        self.list.currentRowChanged.connect(self._choose)
        self.name = ElidedLabel("mid", "record_name")
        self.verdict = label("far", "", "record_verdict")
        self.verdict.setProperty("attention", "")
        self.state = ElidedLabel("", "record_state")
        self.verified = label("", "", "record_verified")
        self.verified.setWordWrap(True)
        self.verified.setProperty("attention", "")
        self.tables = {
            "exceptions": (tr("grade"), tr("what"), tr("text"), tr("day"), tr("row")),
            "tests": (tr("test"), tr("specified"), tr("found"), tr("verdict")),
            "events": (tr("row"), tr("day"), tr("kind"), tr("who"), tr("what"), tr("why"), tr("data")),
            "signatures": (tr("meaning"), tr("name"), tr("role"), tr("time"), tr("comment")),
        }
        self.models = {name: Rows(headers) for name, headers in self.tables.items()}
        self.tabs = QtWidgets.QTabWidget()
        titles = (tr("Not routine"), tr("Release"), tr("All rows"), tr("Signatures"))
        self.filter = QtWidgets.QLineEdit()
        self.filter.setObjectName("filter")
        self.filter.setPlaceholderText(tr("only rows with these words"))
        self.filter.textChanged.connect(self._filter)
        for (name, model), title in zip(self.models.items(), titles, strict=True):
            self.tabs.addTab(self._page(name, model), title)
        self.buttons = {}
        texts = (tr("&Verify"), tr("&Sign…"), tr("&Report"), tr("&List anew"))
        for act, text in zip(("verify", "sign", "report", "again"), texts, strict=True):
            button = self.buttons[act] = QtWidgets.QPushButton(text)
            button.setObjectName(f"record_{act}")
            button.clicked.connect(getattr(self, f"_{act}"))
            button.setEnabled(act == "again")

    def _page(self, name: str, model: Rows) -> QtWidgets.QWidget:
        page = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(page)
        column.setContentsMargins(4, 4, 4, 4)
        if name == "events":
            column.addWidget(self.filter)
        view = QtWidgets.QTableView()
        view.setObjectName(name)
        view.setModel(model)
        view.verticalHeader().setVisible(False)
        view.setShowGrid(False)
        view.setAlternatingRowColors(True)
        view.setWordWrap(name == "exceptions")
        if name == "exceptions":
            view.verticalHeader().setSectionResizeMode(QtWidgets.QHeaderView.ResizeToContents)
        view.setTabKeyNavigation(False)
        view.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        header = view.horizontalHeader()
        header.setStretchLastSection(name == "events")
        stretched = {"exceptions": 2, "tests": 0, "signatures": 4}.get(name)
        if stretched is not None:
            header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeToContents)
            header.setSectionResizeMode(stretched, QtWidgets.QHeaderView.Stretch)
        column.addWidget(view)
        setattr(self, f"{name}_view", view)
        return page

    def _lay_out(self) -> None:
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(10, 10, 10, 10)
        row.setSpacing(8)
        side = Panel(tr("Batches"), "run_panel")
        side.body.addWidget(self.list, 1)
        side.body.addWidget(self.buttons["again"])
        row.addWidget(side, 2)
        main = Panel("", "record_panel")
        main.body.addWidget(self.name)
        main.body.addWidget(self.verdict)
        main.body.addWidget(self.state)
        main.body.addWidget(self.verified)
        main.body.addWidget(self.tabs, 1)
        acts = QtWidgets.QHBoxLayout()
        for act in ("verify", "sign", "report"):
            acts.addWidget(self.buttons[act])
        acts.addStretch(1)
        acts.addLayout(self.operator_row())
        main.body.addLayout(acts)
        row.addWidget(main, 6)

    def settings(self) -> dict[str, str]:
        """Return the batch that is shown, too."""
        return {**super().settings(), "run": self.chosen}

    def restore(self, settings: Mapping[str, str]) -> None:
        """Take up the batch that was shown."""
        super().restore(settings)
        self.chosen = settings.get("run", "")

    def is_listed(self) -> bool:
        """Return whether the chosen record and all that the list tells have been read."""
        return self.record is not None and all(run.verdict or run.fault for run in self._runs)

    def close_reader(self) -> None:
        """End what reads."""
        self.reader.close()

    def _take(self, item: object) -> None:
        if isinstance(item, tuple):
            self._show_runs(item)
        elif isinstance(item, RunView):
            self._say_run(item)
        elif isinstance(item, RecordView):
            self._say_run(RunView(item.name, item.verdict, item.state))
            if item.name == self.chosen:  # an answer that comes late is of a batch that nobody looks at any more
                self._show_record(item)
        elif isinstance(item, Verified) and item.name == self.chosen:
            self._show_verified(item)
        elif isinstance(item, Failed) and item.what in (self.chosen, LISTING):
            set_text(self.verified, tr("{what}: {message}", what=item.what, message=item.message))
            set_mark(self.verified, "attention", "held")
            if self.record is None and item.what == self.chosen:
                set_text(self.verdict, tr("cannot be read"))
                set_mark(self.verdict, "attention", "held")
                self._say_run(RunView(item.what, fault=item.message))
            self._enable()

    def _show_runs(self, runs: tuple[RunView, ...]) -> None:
        self._runs = runs
        self.list.blockSignals(True)
        self.list.clear()
        for run in runs:
            self.list.addItem(_listed(run))
        names = [run.name for run in runs]
        row = names.index(self.chosen) if self.chosen in names else 0
        self.list.setCurrentRow(row if names else -1)
        self.list.blockSignals(False)
        if names:
            self._choose(row)
        else:
            self._clear("")
            self.name.set_whole(tr("No records in {folder}", folder=self.reader.runs_dir))

    def _say_run(self, run: RunView) -> None:
        for row, known in enumerate(self._runs):
            if known.name == run.name:
                self.list.item(row).setText(_listed(run))
                self._runs = (*self._runs[:row], run, *self._runs[row + 1 :])

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._runs):
            name = self._runs[row].name
            if self.record is None or self.record.name != name:
                self._clear(name)
            self.chosen = name
            set_text(self.verified, tr("reading …"))
            set_mark(self.verified, "attention", "")
            self.reader.read(name)

    def _clear(self, name: str) -> None:
        """Show nothing of another batch under this one's name, and let nothing of it be signed."""
        self.record, self.chosen = None, name
        self.name.set_whole(name)
        set_text(self.verdict, "")
        set_mark(self.verdict, "attention", "")
        self.state.set_whole("")
        for model in self.models.values():
            model.show_rows(())
        self._count(0, 0)
        self._enable()

    def _count(self, exceptions: int, signatures: int) -> None:
        self.tabs.setTabText(0, tr("Not routine ({count})", count=exceptions))
        self.tabs.setTabText(3, tr("Signatures ({count})", count=signatures))

    def _show_record(self, record: RecordView) -> None:
        read_anew = self.record is not None and self.record.name == record.name
        self.record = record
        self.name.set_whole(record.name)
        set_text(self.verdict, heading(record.verdict, record.state))
        quiet = is_quiet(record.verdict, record.state, record.outdated)
        set_mark(self.verdict, "attention", "" if quiet else "held")
        self.state.set_whole(beside(record.verdict, record.state, record.outdated))
        if not read_anew or self.verified.text() == tr("reading …"):  # what came of a signature stays
            set_text(self.verified, "")
        marked = [exception_row(row) for row in record.exceptions]
        self.models["exceptions"].show_rows(marked)
        self.models["tests"].show_rows([test_row(row) for row in record.tests])
        self.models["signatures"].show_rows(record.signatures)
        self._count(len(marked), len(record.signatures))
        self._filter(self.filter.text())
        self._enable()

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        rows = self.record.events if self.record is not None else ()
        kept = [row for row in rows if all(word in " ".join(row).lower() for word in words)]
        self.models["events"].show_rows(kept)

    def _show_verified(self, found: Verified) -> None:
        words = {
            "intact": tr("INTACT: the record is the one that was written"),
            "altered": tr("ALTERED: the record is not the one that was written"),
            "unverifiable": tr("CANNOT BE VERIFIED: something to compare with is missing"),
            "signed": tr("SIGNED"),
        }
        set_text(self.verified, "\n".join((words[found.verdict], *found.lines[:6])))
        set_mark(self.verified, "attention", {"altered": "high", "unverifiable": "held"}.get(found.verdict, ""))
        self._enable()

    def _enable(self) -> None:
        # One that cannot be read can be verified: that tells what is wrong with it.
        self.buttons["verify"].setEnabled(bool(self.chosen))
        for act in ("sign", "report"):
            self.buttons[act].setEnabled(self.record is not None)

    def _verify(self, *_: object) -> None:
        if self.chosen:
            self.buttons["verify"].setEnabled(False)
            set_text(self.verified, tr("verifying …"))
            self.reader.verify(self.chosen)

    def _sign(self, *_: object) -> None:
        if self.record is None:
            return
        self.dialog = SignDialog(self.reader.runs_dir / self.record.name, self.operator.name(), self)
        self.dialog.accepted.connect(self._send)
        self.dialog.open()

    def _send(self) -> None:
        assert self.dialog is not None
        self.buttons["sign"].setEnabled(False)
        set_text(self.verified, tr("signing …"))
        self.reader.sign(self.dialog.given())
        self.dialog.password.clear()

    def _report(self, *_: object) -> None:
        if self.record is not None:
            path = self.reader.runs_dir / self.record.name / "report.html"
            if not path.is_file() or not QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(str(path.resolve()))):
                set_text(self.verified, tr("{what}: {message}", what=path, message=tr("cannot be opened")))

    def _again(self, *_: object) -> None:
        self.reader.list_runs()


def _listed(run: RunView) -> str:
    """Return a run's two lines in the list; the second says what the heading over its record says."""
    if run.fault:
        return f"{run.name}\n{tr('cannot be read')}"
    return f"{run.name}\n{heading(run.verdict, run.state) if run.verdict else '…'}"
