# SPDX-License-Identifier: Apache-2.0
"""Vision: both cameras live, what the cells are like, counts with their intervals, health of camera and calibration."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable

from ..board import Board
from ..feed.analyses import CYTOMETRY
from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets, pyqtgraph
from ..panels.gate_panel import GatePanel
from ..panels.parts import ElidedLabel, Panel, label, set_mark, set_text
from ..panels.vision_panel import LIVE_S, Picture, VisionPanel
from ..views import (
    AnalysisView,
    HistogramView,
    HistoryView,
    MeasurementView,
    ModuleView,
    PictureView,
    PopulationView,
    TracksView,
)

CELLS_KEPT = 3000
RATE_WINDOW_S = 2.0


class CameraHealth:
    """Rate and age of one camera's pictures, by the steady clock."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=200)
        self.latencies_ms: deque[float] = deque(maxlen=300)

    def heard(self, now_s: float) -> None:
        """Note a picture."""
        self._times.append(now_s)

    def age_s(self, now_s: float) -> float:
        """Return the time since the last picture [s], infinite before the first."""
        return now_s - self._times[-1] if self._times else math.inf

    def rate_hz(self, now_s: float) -> float:
        """Return the pictures a second of the last two seconds [Hz]."""
        return sum(t > now_s - RATE_WINDOW_S for t in self._times) / RATE_WINDOW_S

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the latency [ms], NaN when none is known."""
        known = sorted(v for v in self.latencies_ms if math.isfinite(v))
        return known[min(int(share * len(known)), len(known) - 1)] if known else math.nan


class VisionBoard(Board):
    """The vision module at the engineer's desk.

    Args:
        vision: name of the vision module.
        now_s: steady clock [s].
    """

    def __init__(self, vision: str = "vision_qc", now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("vision_board", tr("Vision"), now_s)
        self._module = vision
        self.microscope = VisionPanel(now_s)
        self.sorter = Picture()
        self.health = {"microscope": CameraHealth(), "sorter": CameraHealth()}
        self._cells: deque[tuple[float, float, float, int]] = deque(maxlen=CELLS_KEPT)
        self._sample = ""
        self._dirty = False
        self._values: dict[str, MeasurementView] = {}
        self._state: ModuleView | None = None
        self._build()
        self._lay_out()
        self.rescale()
        self.handlers = {
            PictureView: self._picture,
            PopulationView: self._population,
            HistogramView: self._histogram,
            TracksView: self._tracks,
            MeasurementView: self._measured,
            ModuleView: self._module_state,
            AnalysisView: self._analysis,
            HistoryView: lambda history: [self._analysis(seen) for seen in history.analyses],
        }
        self.age()

    def _build(self) -> None:
        self.bars = _plot(tr("diameter [µm]"), tr("cells"))
        self.counts = pyqtgraph.BarGraphItem(x=[], height=[], width=1.0, brush=theme.GAUGE, pen=theme.PANEL)
        self.bars.addItem(self.counts)
        self.cloud = _plot(tr("diameter [µm]"), tr("deformation"))
        self.alive = pyqtgraph.ScatterPlotItem(size=5, pen=None, brush=pyqtgraph.mkBrush(theme.GAUGE), symbol="o")
        self.dead = pyqtgraph.ScatterPlotItem(size=7, pen=pyqtgraph.mkPen(theme.TEXT), brush=None, symbol="x")
        for item in (self.alive, self.dead):
            self.cloud.addItem(item)
        self.gates = GatePanel()
        self.cloud_title = ElidedLabel("title", "cloud_title")
        self.camera_lines = {name: ElidedLabel("", f"{name}_health") for name in self.health}
        self.focus = label("mid", "", "focus")
        self.focus.setWordWrap(True)
        self.counted = label("", "", "counted")
        self.counted.setWordWrap(True)
        self.calibration = label("", "", "calibration")
        self.calibration.setWordWrap(True)

    def _lay_out(self) -> None:
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(10, 10, 10, 10)
        grid.setSpacing(8)
        grid.addWidget(self.microscope, 0, 0, 1, 3)
        chip = Panel(tr("Sorter camera: focusing in the channel"), "sorter_camera")
        chip.body.addWidget(self.sorter, 1)
        chip.body.addWidget(self.focus)
        self.chip = chip
        grid.addWidget(chip, 0, 3, 2, 1)
        sizes = Panel(tr("Diameters of the sample"), "sizes")
        sizes.body.addWidget(self.bars, 1)
        grid.addWidget(sizes, 1, 0)
        cloud = Panel("", "cells")
        cloud.body.addWidget(self.cloud_title)
        cloud.body.addWidget(self.cloud, 1)
        grid.addWidget(cloud, 1, 1)
        grid.addWidget(self.gates, 1, 2)
        health = Panel(tr("Cameras and calibration"), "health")
        row = QtWidgets.QHBoxLayout()
        column = QtWidgets.QVBoxLayout()
        for line in self.camera_lines.values():
            column.addWidget(line)
        row.addLayout(column, 15)
        row.addWidget(self.counted, 10)
        row.addWidget(self.calibration, 6)
        health.body.addLayout(row)
        grid.addWidget(health, 2, 0, 1, 4)
        grid.setRowStretch(0, 4)
        grid.setRowStretch(1, 5)
        for column_number, stretch in enumerate((3, 3, 3, 3)):
            grid.setColumnStretch(column_number, stretch)

    def scaled(self, scale: float) -> None:
        """Draw the axes' letters at the window's scale."""
        font = QtGui.QFont(self.font())
        font.setPixelSize(round(theme.LETTERS_PX["small"] * scale))
        for plot in (self.bars, self.cloud):
            for side in ("left", "bottom"):
                axis = plot.getPlotItem().getAxis(side)
                axis.setTickFont(font)
                axis.label.setFont(font)
        self.gates.set_font(font)

    def age(self) -> None:
        """Show how old pictures and numbers are."""
        now_s = self.now_s()
        self.microscope.refresh()
        live = self.health["sorter"].age_s(now_s) <= LIVE_S
        if live != self.sorter.live:
            self.sorter.live = live
            self.sorter.update()
        names = {"microscope": tr("Microscope"), "sorter": tr("Sorter camera")}
        for name, health in self.health.items():
            age_s = health.age_s(now_s)
            if math.isinf(age_s):
                text = tr("no picture yet")
            elif age_s > LIVE_S:
                text = tr("last picture {age} ago", age=wording.seconds(age_s))
            else:
                text = tr("{rate} shown a second", rate=wording.number(health.rate_hz(now_s), 1))
            if health.latencies_ms:
                p50, p99 = (wording.number(health.percentile_ms(share), 1) for share in (0.5, 0.99))
                text += "  ·  " + tr("latency p50 {p50}, p99 {p99} ms", p50=p50, p99=p99)
            dropped = self._values.get("frames_dropped" if name == "microscope" else "sorter_frames_dropped")
            lost = dropped is not None and dropped.value > 0.0
            if lost:
                text += "  ·  " + tr("{count} frames lost", count=f"{dropped.value:.0f}")
            self.camera_lines[name].set_whole(f"{names[name]}: {text}")
            set_mark(self.camera_lines[name], "attention", "held" if lost else "")
        self._show_values()
        if self._dirty:
            self._dirty = False
            self._draw_cells()

    def _picture(self, picture: PictureView) -> None:
        health = self.health.get(picture.camera)
        if health is None:
            return
        health.heard(self.now_s())
        if picture.camera == "microscope":
            self.microscope.show_picture(picture)
        else:
            self.sorter.show_picture(picture)

    def _population(self, seen: PopulationView) -> None:
        self.microscope.show_population(seen)
        if seen.sample_id != self._sample:
            if self._sample:
                self._cells.clear()
            self._sample, self._dirty = seen.sample_id, True
        viability = _share((seen.viability, seen.viability_low, seen.viability_high))
        lines = [tr("{cells} cells counted  ·  viability {viability}", cells=seen.cells, viability=viability)]
        if math.isfinite(seen.transgene[0]):
            lines.append(tr("transgene: {share}", share=_share(seen.transgene)))
        if math.isfinite(seen.other[0]):
            lines.append(tr("other leukocytes: {share}", share=_share(seen.other)))
        set_text(self.counted, "\n".join(lines))

    def _histogram(self, found: HistogramView) -> None:
        if len(found.edges_um) != len(found.counts) + 1 or not found.counts:
            return
        edges = found.edges_um
        middles = [(low + high) / 2.0 for low, high in itertools.pairwise(edges)]
        self.counts.setOpts(x=middles, height=list(found.counts), width=edges[1] - edges[0])

    def _tracks(self, tracks: TracksView) -> None:
        self.health["microscope"].latencies_ms.append(tracks.latency_ms)
        self._cells.extend(cell for cell in tracks.cells if math.isfinite(cell[0]))
        self._dirty = True

    def _measured(self, item: MeasurementView) -> None:
        if item.module == self._module:
            self._values[item.name] = item
            self.microscope.show_measurement(item)

    def _analysis(self, seen: AnalysisView) -> None:
        if seen.name == CYTOMETRY:
            self.gates.show_analysis(seen)

    def _module_state(self, view: ModuleView) -> None:
        if view.module == self._module:
            self._state = view

    def _show_values(self) -> None:
        centre, spread = self._values.get("centre_fraction"), self._values.get("focus_spread_um")
        focus = tr("not measured yet")
        if centre is not None:
            focus = tr("{share} of the cells go through the centre", share=wording.percent(centre.value))
            doubt = wording.interval(wording.percent(centre.low), wording.percent(centre.high))
            focus += f"  (95 %: {doubt})" if doubt else ""
        if spread is not None:
            focus += "\n" + tr("spread {width} µm", width=wording.number(spread.value, 0))
        set_text(self.focus, focus)
        error = self._state.last_error if self._state is not None and "calibrat" in self._state.last_error else ""
        told, expired = self._calibrated()
        set_text(self.calibration, error or told or tr("Calibration: by the site file, none was made here"))
        set_mark(self.calibration, "attention", "held" if error or expired else "")

    def _calibrated(self) -> tuple[str, bool]:
        """The microscope's calibration in words, and whether it has expired; empty while none was heard of."""
        known = {name: item.value for name, item in self._values.items()}
        scale, expires_s = self._values.get("um_per_px"), self._values.get("calibration_expires_s")
        if scale is None or expires_s is None:
            return "", False
        left_h = (expires_s.value - expires_s.time_s) / 3600.0
        until = tr("valid for {hours} h more", hours=wording.number(left_h, 0)) if left_h > 0.0 else tr("EXPIRED")
        text = tr(
            "Calibrated: {scale} µm/px ± {residual} px  ·  focus {focus}, light {light} at the dark end  ·  {until}",
            scale=wording.number(scale.value, 4), until=until,
            residual=wording.number(known.get("calibration_residual_px", math.nan), 2),
            focus=wording.percent(known.get("calibration_focus", math.nan)),
            light=wording.percent(known.get("calibration_light", math.nan)),
        )  # fmt: skip
        return text, left_h <= 0.0

    def _draw_cells(self) -> None:
        known = [(d, deformation, dead) for d, deformation, _, dead in self._cells if math.isfinite(deformation)]
        alive = [(d, deformation) for d, deformation, dead in known if dead != 1]
        dead = [(d, deformation) for d, deformation, dead in known if dead == 1]
        self.alive.setData([d for d, _ in alive], [i for _, i in alive])
        self.dead.setData([d for d, _ in dead], [i for _, i in dead])
        self.cloud_title.set_whole(
            tr("Sightings: ● {alive}, × {dead} dead by dye", alive=len(alive), dead=len(dead)),
        )


def _share(known: tuple[float, float, float]) -> str:
    """A share in words, with the ends of its 95 % interval where they are known."""
    value, low, high = (wording.percent(share) for share in known)
    doubt = wording.interval(low, high)
    return value + (f"  (95 %: {doubt})" if doubt else "")


def _plot(across: str, up: str) -> pyqtgraph.PlotWidget:
    made = pyqtgraph.PlotWidget(background=theme.PANEL)
    made.setFocusPolicy(QtCore.Qt.NoFocus)
    item = made.getPlotItem()
    item.hideButtons()
    item.setMenuEnabled(False)
    item.setMouseEnabled(False, False)
    item.showGrid(x=True, y=True, alpha=0.15)
    for side, text in (("bottom", across), ("left", up)):
        axis = item.getAxis(side)
        axis.setPen(theme.MUTED)
        axis.setTextPen(theme.TEXT)
        axis.enableAutoSIPrefix(False)
        axis.setLabel(text, color=theme.TEXT)
    return made
