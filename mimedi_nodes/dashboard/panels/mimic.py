# SPDX-License-Identifier: Apache-2.0
"""The mimic diagram: vessels, modules and the lines between them, drawn from the plan of `mimic_plan`.

Source: ANSI/ISA-101.01: grey is normal, an abnormal state has a colour and says so in a word; no motion, no decoration.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..look import french_names, language, theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets
from ..views import CassettesView, MeasurementView, ModuleView
from .mimic_plan import DOCK_NAMES, DOCKS_MM, HEIGHT, RAIL, WIDTH, Line, Station, Vessel, on_rail, plan_for
from .module_panel import SILENT_S, attention, state_word

GRADES = {1: "A", 2: "B", 3: "C", 4: "D", 5: "none"}
"""Codes of the quantity `enclosure/grade` (EU GMP Annex 1)."""
LETTERS = {"room": 24, "state": 34, "module": 18, "value": 18, "action": 16, "vessel": 18, "name": 16, "dock": 15}
"""Heights of letters in the plan; a window of 800 rows draws them nearly as large."""
SMALLEST = 12
"""A text that is too long is drawn smaller, down to this, and then cut."""


class Mimic(QtWidgets.QWidget):
    """Draws the plan with what was heard.

    Args:
        now_s: steady clock [s].
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__()
        self.setObjectName("mimic")
        self.setMinimumSize(640, 300)
        self._now_s = now_s
        self._states: dict[str, tuple[ModuleView, float]] = {}
        self._values: dict[str, tuple[MeasurementView, float]] = {}
        self._cassettes: dict[str, str] = {}
        self.boxes: dict[str, str] = {}

    def show_module(self, view: ModuleView) -> None:
        """Take a module's state."""
        self._states[view.module] = (view, self._now_s())

    def show_measurement(self, item: MeasurementView) -> None:
        """Take a measured value."""
        self._values[f"{item.module}/{item.name}"] = (item, self._now_s())

    def show_cassettes(self, known: CassettesView) -> None:
        """Take where the cassettes are."""
        self._cassettes = dict(known.places)

    def value(self, key: str) -> float:
        """Return the last value of `module/quantity`, NaN when it was never heard."""
        found = self._values.get(key)
        return found[0].value if found else math.nan

    def is_stale(self, module: str) -> bool:
        """Return whether a module has been silent for too long, or was never heard."""
        found = self._states.get(module)
        return found is None or self._now_s() - found[1] > SILENT_S

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        scale = min(self.width() / WIDTH, self.height() / HEIGHT)
        painter.translate((self.width() - WIDTH * scale) / 2.0, (self.height() - HEIGHT * scale) / 2.0)
        painter.scale(scale, scale)
        self.boxes = {}
        self._enclosure(painter)
        plan = plan_for(tuple(self._states))
        for line in plan.lines:
            self._line(painter, line)
        for station in plan.stations:
            self._station(painter, station)
        for vessel in plan.vessels:
            self._vessel(painter, vessel)
        self._gantry(painter)

    def _enclosure(self, painter: QtGui.QPainter) -> None:
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.LINE), 3))
        painter.setBrush(QtCore.Qt.NoBrush)
        painter.drawRoundedRect(QtCore.QRectF(6, 46, WIDTH - 12, HEIGHT - 52), 8, 8)
        known = self._states.get("enclosure")
        if known is None:
            text, mark = tr("Enclosure: grade not measured here"), "stale"
        else:
            stale = self.is_stale("enclosure")
            grade, doors = self.value("enclosure/grade"), self.value("enclosure/doors_open")
            letter = GRADES.get(round(grade), "–") if math.isfinite(grade) else "–"
            text = tr("Enclosure: grade {grade}{doubt}  ·  {state}", grade=letter, doubt="?" if stale else "",
                      state=state_word(known[0].state))  # fmt: skip
            small = self.value("enclosure/particles_05_per_m3")
            if math.isfinite(small):
                large = wording.number(self.value("enclosure/particles_5_per_m3"), 0)
                text += "  ·  " + tr("{small} particles ≥ 0.5 µm, {large} ≥ 5 µm a m³",
                                     small=wording.number(small, 0), large=large)  # fmt: skip
            for name, unit in (("chamber_pressure_pa", "Pa"), ("air_temperature_c", "°C")):
                if math.isfinite(self.value(f"enclosure/{name}")):
                    text += f"  ·  {wording.number(self.value(f'enclosure/{name}'), 1)} {unit}"
            if doors > 0.0:
                text = tr("DOOR OPEN  ·  {text}", text=text)
            mark = "stale" if stale else "held" if doors > 0.0 or letter == "none" else attention(known[0].state)
        self._text(painter, QtCore.QRectF(14, 4, WIDTH - 28, 38), text, "room", mark=mark)
        self.boxes["enclosure"] = text

    def _line(self, painter: QtGui.QPainter, line: Line) -> None:
        found = self._states.get(line.module)
        at_work = found is not None and not self.is_stale(line.module) and state_word(found[0].state) == "EXECUTE"
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.TEXT if at_work else theme.LINE), 4 if at_work else 3))
        points = [QtCore.QPointF(x, y) for x, y in line.points]
        painter.drawPolyline(QtGui.QPolygonF(points))

    def _station(self, painter: QtGui.QPainter, station: Station) -> None:
        found = self._states.get(station.name)
        stale = self.is_stale(station.name)
        mark = "stale" if stale else attention(found[0].state) if found else "stale"
        box = QtCore.QRectF(station.x, station.y, station.width, station.height)
        dash = QtCore.Qt.DashLine if stale else QtCore.Qt.SolidLine
        edge = {"held": theme.HELD, "high": theme.PRIORITY_COLOUR[3]}.get(mark, theme.STALE if stale else "#777777")
        painter.setPen(QtGui.QPen(QtGui.QColor(edge), 5 if mark in ("held", "high") else 2, dash))
        painter.setBrush(QtGui.QColor(theme.PANEL))
        painter.drawRect(box)
        left, wide = station.x + 8, station.width - 12
        name = wording.module_name(station.name)
        self._text(painter, QtCore.QRectF(left, station.y + 3, wide, 22), name, "module", bold=True)
        word = tr("NO DATA") if found is None else state_word(found[0].state) + ("?" if stale else "")
        self._text(painter, QtCore.QRectF(left, station.y + 26, wide, 38), word, "state", bold=True, mark=mark)
        self.boxes[station.name] = word
        top = station.y + 66
        if found is not None and found[0].action and not stale:
            self._text(painter, QtCore.QRectF(left, top, wide, 20), found[0].action, "action")
            top += 20
        for quantity, digits, unit, factor in station.values:
            if top + 22 > station.y + station.height:
                break
            value = self.value(f"{station.name}/{quantity}")
            text = f"{wording.number(value * factor, digits)} {language.named(french_names.UNITS, unit, unit)}"
            self._text(painter, QtCore.QRectF(left, top, wide, 22), text, "value", mark="stale-text" if stale else "")
            top += 22

    def _vessel(self, painter: QtGui.QPainter, vessel: Vessel) -> None:
        owner = vessel.content.split("/", 1)[0]
        stale = self.is_stale(owner)
        content_ul = self.value(vessel.content)
        box = QtCore.QRectF(vessel.x, vessel.y, vessel.width, vessel.height)
        painter.fillRect(box, QtGui.QColor("#f0f0ee"))
        share = content_ul / vessel.capacity_ul if math.isfinite(content_ul) else 0.0
        filled = vessel.height * min(max(share, 0.0), 1.0)
        colour = QtGui.QColor(theme.TROUGH if stale else "#9aa5b1")
        painter.fillRect(QtCore.QRectF(vessel.x, vessel.y + vessel.height - filled, vessel.width, filled), colour)
        painter.setBrush(QtCore.Qt.NoBrush)
        painter.setPen(QtGui.QPen(QtGui.QColor("#555555"), 2, QtCore.Qt.DashLine if stale else QtCore.Qt.SolidLine))
        painter.drawRect(box)
        text = _volume(content_ul)
        mark = "stale-text" if stale else ""
        self._text(painter, box.adjusted(3, 0, -3, 0), text, "vessel", centre=True, mark=mark)
        middle = vessel.x + vessel.width / 2.0
        half = min(72.0, middle - 8.0, WIDTH - 18.0 - middle)
        place = QtCore.QRectF(middle - half, vessel.y + vessel.height, 2.0 * half, 20)
        name = language.named(french_names.VESSELS, vessel.name, vessel.name.replace("_", " "))
        self._text(painter, place, name, "name", centre=True, mark=mark)
        self.boxes[vessel.name] = text

    def _gantry(self, painter: QtGui.QPainter) -> None:
        y = RAIL[2]
        found = self._states.get("transfer")
        if found is None:
            self.boxes["transfer"] = tr("Gantry: not part of this workcell")
            self._text(painter, QtCore.QRectF(216, y + 6, 600, 24), self.boxes["transfer"], "value", mark="stale-text")
            return
        stale = self.is_stale("transfer")
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.LINE), 3))
        painter.drawLine(QtCore.QPointF(RAIL[0], y), QtCore.QPointF(RAIL[1], y))
        for dock, place_mm in DOCKS_MM.items():
            self._dock(painter, dock, on_rail(place_mm), stale)
        state = tr("Gantry: {state}", state=state_word(found[0].state) + ("?" if stale else ""))
        place_mm = self.value("transfer/gantry_y_mm")
        held = self._cassettes.get("gripper", "")
        if self.value("transfer/homed") == 0.0:
            state += "  ·  " + tr("not homed")
        elif math.isfinite(place_mm):
            colour = QtGui.QColor(theme.STALE if stale else theme.TEXT)
            painter.fillRect(QtCore.QRectF(on_rail(place_mm) - 9, y - 16, 18, 10), colour)
        mark = "stale" if stale else attention(found[0].state)
        self._text(painter, QtCore.QRectF(18, y - 12, 226, 24), state, "value", bold=True, mark=mark)
        if held:
            holds = tr("holds {label}", label=held)
            self._text(painter, QtCore.QRectF(18, y + 14, 226, 20), holds, "name", mark="stale-text" if stale else "")
            state += f"  ·  {holds}"
        self.boxes["transfer"] = state

    def _dock(self, painter: QtGui.QPainter, dock: str, x: float, stale: bool) -> None:
        """A dock under the rail: filled while a cassette stands there, with its label."""
        y = RAIL[2]
        label = self._cassettes.get(dock, "")
        box = QtCore.QRectF(x - 12, y - 5, 24, 10)
        painter.fillRect(box, QtGui.QColor("#f0f0ee" if not label else theme.TROUGH if stale else "#9aa5b1"))
        painter.setBrush(QtCore.Qt.NoBrush)
        painter.setPen(QtGui.QPen(QtGui.QColor("#555555"), 2, QtCore.Qt.DashLine if stale else QtCore.Qt.SolidLine))
        painter.drawRect(box)
        mark = "stale-text" if stale else ""
        name = language.named(french_names.DOCKS, dock, DOCK_NAMES.get(dock, dock))
        self._text(painter, QtCore.QRectF(x - 58, y + 6, 116, 18), name, "dock", centre=True, mark=mark)
        if label:
            self._text(painter, QtCore.QRectF(x - 62, y + 22, 124, 18), label, "dock", True, centre=True, mark=mark)
        self.boxes[f"dock_{dock}"] = label

    @staticmethod
    def _text(
        painter: QtGui.QPainter, box: QtCore.QRectF, text: str, role: str, bold: bool = False, mark: str = "",
        centre: bool = False,
    ) -> None:  # fmt: skip
        font = QtGui.QFont("DejaVu Sans")
        font.setBold(bold)
        for size in range(LETTERS[role], SMALLEST - 1, -1):
            font.setPixelSize(size)
            if QtGui.QFontMetricsF(font).horizontalAdvance(text) <= box.width():
                break
        painter.setFont(font)
        ground = {"held": theme.HELD, "high": theme.PRIORITY_COLOUR[3]}.get(mark)
        flags = QtCore.Qt.AlignVCenter | (QtCore.Qt.AlignHCenter if centre else QtCore.Qt.AlignLeft)
        if ground:
            width = painter.fontMetrics().horizontalAdvance(text) + 8
            painter.fillRect(QtCore.QRectF(box.x() - 4, box.y(), min(width, box.width() + 4), box.height()),
                             QtGui.QColor(ground))  # fmt: skip
        colour = "white" if mark == "high" else theme.STALE if mark.startswith("stale") else theme.TEXT
        painter.setPen(QtGui.QColor(colour))
        elided = painter.fontMetrics().elidedText(text, QtCore.Qt.ElideRight, int(box.width()))
        painter.drawText(box, flags, elided)


def _volume(content_ul: float) -> str:
    if not math.isfinite(content_ul):
        return wording.UNKNOWN
    if abs(content_ul) >= 1e6:
        return f"{content_ul / 1e6:.2f} L"
    return f"{content_ul / 1e3:.1f} mL"
