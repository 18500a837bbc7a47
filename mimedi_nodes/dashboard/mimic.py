# SPDX-License-Identifier: Apache-2.0
"""The mimic diagram: vessels, modules and the lines between them, drawn from a plan that is data.

Source: ANSI/ISA-101.01: grey is normal, an abnormal state has a colour and says so in a word; no motion, no decoration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import theme, wording
from .language import tr
from .module_panel import SILENT_S, attention, state_word
from .qt import QtCore, QtGui, QtWidgets
from .views import CassettesView, MeasurementView, ModuleView

WIDTH, HEIGHT = 1280.0, 640.0
"""Extent of the plan; it is drawn as large as there is room."""


@dataclass(frozen=True)
class Vessel:
    """A vessel: `module/quantity` gives its content in microlitres."""

    name: str
    x: float
    y: float
    content: str
    capacity_ul: float
    width: float = 84.0
    height: float = 66.0


@dataclass(frozen=True)
class Station:
    """A module and the values that are shown in its box: quantity, digits, unit, factor."""

    name: str
    x: float
    y: float
    width: float
    height: float
    values: tuple[tuple[str, int, str, float], ...] = ()


@dataclass(frozen=True)
class Line:
    """A line through points; drawn strong while the module is at work."""

    module: str
    points: tuple[tuple[float, float], ...]


STATIONS = (
    Station("fluidics", 150, 96, 170, 250, (("plunger_ul", 0, "µL", 1.0),)),
    Station(
        "acoustic_sorter", 470, 96, 210, 130,
        (("channel_resonance_hz", 4, "MHz", 1e-6), ("drive_amplitude_vpp", 1, "Vpp", 1.0)),
    ),
    Station(
        "transduction", 750, 96, 220, 180,
        (("liquid_temperature_c", 1, "°C", 1.0), ("co2_fraction", 1, "% CO₂", 100.0), ("stirring_rpm", 0, "rpm", 1.0)),
    ),
    Station(
        "incubator", 1030, 96, 230, 240,
        (
            ("liquid_temperature_c", 1, "°C", 1.0), ("co2_fraction", 1, "% CO₂", 100.0),
            ("dissolved_oxygen_fraction", 0, "% O₂ sat.", 100.0), ("ph", 2, "pH", 1.0),
            ("glucose_mm", 1, "mM glucose", 1.0), ("lactate_mm", 1, "mM lactate", 1.0),
        ),
    ),
    Station("vision_qc", 470, 300, 210, 110, (("viability", 0, "% viable", 100.0),)),
)  # fmt: skip
GUESTS = (
    Station("contamination_watch", 740, 300, 240, 100),
    Station("analytics", 1070, 452, 190, 100),
)
"""Modules that not every workcell has: drawn once they are heard of."""
VESSELS = (
    Vessel("apheresis", 20, 96, "fluidics/apheresis_ul", 3e5),
    Vessel("buffer", 20, 196, "fluidics/buffer_ul", 6e6),
    Vessel("medium", 20, 296, "fluidics/medium_ul", 12e6),
    Vessel("bank", 20, 396, "fluidics/bank_ul", 3e5),
    Vessel("waste", 20, 496, "fluidics/waste_ul", 12e6),
    Vessel("sorter_inlet", 360, 96, "acoustic_sorter/sorter_inlet_ul", 6e4),
    Vessel("sorted", 360, 186, "acoustic_sorter/sorted_ul", 6e4),
    Vessel("sorter_waste", 360, 276, "acoustic_sorter/sorter_waste_ul", 2e6),
    Vessel("activation_vessel", 880, 184, "transduction/volume_ul", 2e5, 80, 70),
    Vessel("culture_vessel", 1172, 232, "incubator/volume_ul", 1.2e6, 80, 82),
    Vessel("depleted", 360, 460, "fluidics/depleted_ul", 1.2e6),
    Vessel("harvest", 560, 460, "fluidics/harvest_ul", 3e5),
    Vessel("dose_bag", 760, 460, "fluidics/dose_bag_ul", 1e5),
    Vessel("surplus_bag", 960, 460, "fluidics/surplus_bag_ul", 1e5),
)
LINES = (
    Line("fluidics", ((104, 130), (150, 130))),
    Line("fluidics", ((104, 230), (150, 230))),
    Line("fluidics", ((104, 320), (150, 320))),
    Line("fluidics", ((104, 430), (180, 430), (180, 346))),
    Line("fluidics", ((104, 530), (200, 530), (200, 346))),
    Line("fluidics", ((320, 130), (360, 130))),
    Line("acoustic_sorter", ((444, 130), (470, 130))),
    Line("acoustic_sorter", ((470, 215), (444, 215))),
    Line("acoustic_sorter", ((500, 226), (500, 262), (456, 262), (456, 300), (444, 300))),
    Line("fluidics", ((320, 240), (340, 240), (340, 70), (920, 70), (920, 96))),
    Line("fluidics", ((920, 70), (1150, 70), (1150, 96))),
    Line("fluidics", ((320, 300), (340, 300), (340, 380), (470, 380))),
    Line("fluidics", ((1100, 336), (1100, 430), (402, 430), (402, 460))),
    Line("fluidics", ((444, 493), (560, 493))),
    Line("fluidics", ((644, 493), (760, 493))),
    Line("fluidics", ((702, 493), (702, 440), (1002, 440), (1002, 460))),
)
DOCKS_MM: Mapping[str, float] = {
    "hatch": -1465.0, "fluidics": -1341.43, "store": -1152.86, "acoustic_sorter": -1002.86, "transduction": -744.29,
    "incubator": -475.71, "vision_qc": -197.14, "contamination_watch": -40.0,
}  # fmt: skip
"""Docks along the gantry's rail [mm]; a test compares them with the site's."""
RAIL = (250.0, WIDTH - 60.0, HEIGHT - 44.0)
"""The rail in the plan: left, right, height."""
GRADES = {1: "A", 2: "B", 3: "C", 4: "D", 5: "none"}
"""Codes of the quantity `enclosure/grade` (EU GMP Annex 1)."""


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
        for line in LINES:
            self._line(painter, line)
        for station in (*STATIONS, *(guest for guest in GUESTS if guest.name in self._states)):
            self._station(painter, station)
        for vessel in VESSELS:
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
        self._text(painter, QtCore.QRectF(14, 6, WIDTH - 28, 36), text, 20, mark=mark)
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
        left, wide = station.x + 8, station.width - 16
        self._text(painter, QtCore.QRectF(left, station.y + 4, wide, 20), wording.humane(station.name), 15, bold=True)
        word = tr("NO DATA") if found is None else state_word(found[0].state) + ("?" if stale else "")
        self._text(painter, QtCore.QRectF(left, station.y + 25, wide, 32), word, 26, bold=True, mark=mark)
        self.boxes[station.name] = word
        top = station.y + 60
        if found is not None and found[0].action and not stale:
            self._text(painter, QtCore.QRectF(left, top, wide, 18), found[0].action, 13)
            top += 19
        for name, digits, unit, factor in station.values:
            value = self.value(f"{station.name}/{name}")
            text = f"{wording.number(value * factor, digits)} {unit}"
            self._text(painter, QtCore.QRectF(left, top, wide, 20), text, 15, mark="stale-text" if stale else "")
            top += 20

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
        self._text(painter, box, text, 15, centre=True, mark="stale-text" if stale else "")
        name = QtCore.QRectF(vessel.x - 20, vessel.y + vessel.height, vessel.width + 40, 18)
        self._text(painter, name, vessel.name.replace("_", " "), 13, centre=True)
        self.boxes[vessel.name] = text

    def _gantry(self, painter: QtGui.QPainter) -> None:
        y = RAIL[2]
        found = self._states.get("transfer")
        if found is None:
            self.boxes["transfer"] = tr("Gantry: not part of this workcell")
            self._text(painter, QtCore.QRectF(190, y + 6, 600, 22), self.boxes["transfer"], 14, mark="stale-text")
            return
        stale = self.is_stale("transfer")
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.LINE), 3))
        painter.drawLine(QtCore.QPointF(RAIL[0], y), QtCore.QPointF(RAIL[1], y))
        for dock, place_mm in DOCKS_MM.items():
            self._dock(painter, dock, _on_rail(place_mm), stale)
        state = tr("Gantry: {state}", state=state_word(found[0].state) + ("?" if stale else ""))
        place_mm = self.value("transfer/gantry_y_mm")
        held = self._cassettes.get("gripper", "")
        if self.value("transfer/homed") == 0.0:
            state += "  ·  " + tr("not homed")
        elif math.isfinite(place_mm):
            colour = QtGui.QColor(theme.STALE if stale else theme.TEXT)
            painter.fillRect(QtCore.QRectF(_on_rail(place_mm) - 9, y - 16, 18, 10), colour)
        mark = "stale" if stale else attention(found[0].state)
        self._text(painter, QtCore.QRectF(24, y - 10, 206, 22), state, 15, mark=mark)
        if held:
            holds = tr("holds {label}", label=held)
            self._text(painter, QtCore.QRectF(24, y + 13, 206, 18), holds, 13, mark="stale-text" if stale else "")
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
        self._text(painter, QtCore.QRectF(x - 66, y + 7, 132, 15), dock.replace("_", " "), 11, centre=True, mark=mark)
        if label:
            self._text(painter, QtCore.QRectF(x - 66, y + 21, 132, 15), label, 11, True, centre=True, mark=mark)
        self.boxes[f"dock_{dock}"] = label

    @staticmethod
    def _text(
        painter: QtGui.QPainter, box: QtCore.QRectF, text: str, size: int, bold: bool = False, mark: str = "",
        centre: bool = False,
    ) -> None:  # fmt: skip
        font = QtGui.QFont("DejaVu Sans")
        font.setPixelSize(size)
        font.setBold(bold)
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


def _on_rail(place_mm: float) -> float:
    """Return where a place of the gantry's long axis is drawn."""
    low, high = min(DOCKS_MM.values()), max(DOCKS_MM.values())
    share = min(max((place_mm - low) / (high - low), 0.0), 1.0)
    return RAIL[0] + 20.0 + (RAIL[1] - RAIL[0] - 40.0) * share


def _volume(content_ul: float) -> str:
    if not math.isfinite(content_ul):
        return wording.UNKNOWN
    if abs(content_ul) >= 1e6:
        return f"{content_ul / 1e6:.2f} L"
    return f"{content_ul / 1e3:.1f} mL"
