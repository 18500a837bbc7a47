# SPDX-License-Identifier: Apache-2.0
"""The microscope's live picture with what it last measured."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets
from ..views import MeasurementView, PictureView, PopulationView
from .parts import ElidedLabel, Panel, label, set_text

LIVE_S = 2.0
"""Steady time [s] since the last frame up to which the picture counts as live; the camera runs only for a sample."""


class Picture(QtWidgets.QWidget):
    """Paints an image as large as there is room, in its own proportions."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("picture")
        self.setMinimumSize(256, 64)
        self.image = QtGui.QImage()
        self.live = False

    def show_picture(self, picture: PictureView) -> None:
        """Show a picture; it is copied, so its bytes may go."""
        image = QtGui.QImage(
            picture.bgr, picture.width_px, picture.height_px, 3 * picture.width_px, QtGui.QImage.Format_RGB888
        )
        self.image = image.rgbSwapped()
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), QtGui.QColor(theme.TROUGH))
        if self.image.isNull():
            return
        size = self.image.size().scaled(self.size(), QtCore.Qt.KeepAspectRatio)
        place = QtCore.QRect(QtCore.QPoint(0, 0), size)
        place.moveCenter(self.rect().center())
        painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform)
        painter.setOpacity(1.0 if self.live else 0.45)
        painter.drawImage(place, self.image)


class VisionPanel(Panel):
    """Picture and readings of the vision module.

    Args:
        now_s: steady clock [s].
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__("", "vision")
        self._now_s = now_s
        self._heard_s = -math.inf
        head = QtWidgets.QHBoxLayout()
        head.setSpacing(24)
        self.status = label("title", "", "vision_status")
        head.addWidget(self.status, 1)
        self.viability = label("mid", "", "vision_viability")
        self.concentration = label("mid", "", "vision_concentration")
        head.addWidget(self.viability)
        head.addWidget(self.concentration)
        self.body.addLayout(head)
        self.canvas = Picture()
        self.body.addWidget(self.canvas, 1)
        self.details = ElidedLabel("small", "vision_details")
        self.body.addWidget(self.details)
        self._readings: dict[str, tuple[float, float, float]] = {}
        self._details = ""
        self._show_readings()
        self.refresh()

    def show_picture(self, picture: PictureView) -> None:
        """Show a picture."""
        self.canvas.show_picture(picture)
        self._heard_s = self._now_s()
        self.refresh()

    def show_population(self, seen: PopulationView) -> None:
        """Show what the cells seen so far say."""
        self._readings["viability"] = (seen.viability, seen.viability_low, seen.viability_high)
        self._readings["concentration_per_ml"] = (
            seen.concentration_per_ml,
            seen.concentration_low_per_ml,
            seen.concentration_high_per_ml,
        )
        sample = tr("sample {name}", name=seen.sample_id) if seen.sample_id else ""
        parts = [sample, tr("{count} cells", count=seen.cells)]
        if math.isfinite(seen.diameter_mean_um):
            parts.append(f"⌀ {seen.diameter_mean_um:.1f} ± {wording.number(seen.diameter_sd_um, 1)} µm")
        if seen.frames_dropped:
            parts.append(tr("{count} frames lost", count=seen.frames_dropped))
        self._details = "  ·  ".join(filter(None, parts))
        self._show_readings()

    def show_measurement(self, measured: MeasurementView) -> None:
        """Show a result of an inspection; other quantities are not shown here."""
        if measured.name in ("viability", "concentration_per_ml"):
            self._readings[measured.name] = (measured.value, measured.low, measured.high)
            self._show_readings()

    def refresh(self) -> None:
        """Show whether the picture is live."""
        silent_s = self._now_s() - self._heard_s
        live = silent_s <= LIVE_S
        if self.canvas.image.isNull():
            set_text(self.status, f"{tr('Microscope')}  ·  {tr('no picture yet')}")
        else:
            age = tr("LIVE") if live else tr("last picture {age} ago", age=wording.seconds(silent_s))
            set_text(self.status, f"{tr('Microscope')}  ·  {age}")
        if live != self.canvas.live:
            self.canvas.live = live
            self.canvas.update()

    def _show_readings(self) -> None:
        unknown = (math.nan, math.nan, math.nan)
        viability, low, high = self._readings.get("viability", unknown)
        set_text(self.viability, tr("{share} viable", share=wording.percent(viability)))
        concentration, low_c, high_c = self._readings.get("concentration_per_ml", unknown)
        set_text(self.concentration, f"{wording.powers(concentration)} /mL")
        intervals = [
            wording.interval(wording.percent(low), wording.percent(high)),
            wording.interval(wording.powers(low_c), wording.powers(high_c)),
        ]
        known = "  /  ".join(filter(None, intervals))
        self.details.set_whole("  ·  ".join(filter(None, (self._details, f"95 %: {known}" if known else ""))))
