# SPDX-License-Identifier: Apache-2.0
"""From camera frames to tracked cells: background, detection, overlaps, links, intensities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import CameraHealth, FrameTracks, TrackedCell, check_image
from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.detection.appearance import Appearances
from mimedi_nodes.vision.detection.background import Background, FloatImage
from mimedi_nodes.vision.detection.blobs import Expected
from mimedi_nodes.vision.detection.detections import Detections, empty
from mimedi_nodes.vision.detection.detector import CellDetector
from mimedi_nodes.vision.detection.intensities import FluorescenceImage, mean_around
from mimedi_nodes.vision.detection.medians import median, percentile
from mimedi_nodes.vision.detection.viability import dye_threshold
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.tracking.flow import FlowProfile
from mimedi_nodes.vision.tracking.hindsight import Sighting
from mimedi_nodes.vision.tracking.linker import TRACK, Linker, Tracks

CONFIRMED_FRAMES = 3
_DYE_MEMORY = 400
# Once settled, the background changes slowly: every third frame is enough.
_WARM_FRAMES, _FOLLOW_EVERY = 40, 3
_LIT = 6.0
_LIGHT_ERROR = 0.4
_APART = 0.7
# Not in the frames in which noise is looked at.
_SIZE_EVERY, _SIZE_PHASE = 4, 2


class CellTracker:
    """Tracks the cells of one camera position; one call of `process` per frame, in order of time.

    Args:
        settings: geometry and timing. Speed, density, noise and brightness are learnt from the frames.
    """

    def __init__(self, settings: VisionSettings) -> None:
        self.settings = settings
        self.health = CameraHealth()
        self.background = Background(settings.wall_top_px, settings.wall_bottom_px)
        self.detector = CellDetector(settings)
        self.flow = FlowProfile(settings.wall_top_px, settings.wall_bottom_px, settings.frame_rate_hz)
        self._linker: Linker | None = None
        self._appearances: Appearances | None = None
        self._shape = settings.image_shape
        self._stamp: float | None = None
        self._index = -1
        self._dye = FluorescenceImage()
        self._channels = [FluorescenceImage(3), FluorescenceImage(7)]
        self._dye_seen: list[float] = []
        self._dye_limit = math.inf
        self._dye_due = 0
        self._sharpness = 0.0
        self._usual_px = 0.0
        self._focus = math.nan
        self._sizes: dict[int, float] = {}
        self._usual = np.empty(3)
        self._lit_levels = np.zeros(2)
        self._range_end = 255

    def prime(self, frames: Sequence[NDArray[Any]]) -> None:
        """Learn the empty channel from the first frames (H, W) of a measurement, before they are processed.

        Nothing is wasted then: without it, what lies still in the channel passes for cells at first.

        Raises:
            VisionInputError: a frame of wrong type, size or encoding.
        """
        images = [check_image("bright_field", frame, self._shape) for frame in frames]
        if images:
            self.background.prime(images, settled=False)

    def warm_up(self, frames: Sequence[NDArray[Any]], stamps_s: Sequence[float] | None = None,
                fluorescence: Sequence[Sequence[NDArray[Any]]] | None = None) -> None:
        """Learn background, noise, sizes and flow from frames beforehand; their tracks are then forgotten.

        For recordings: the first frames serve twice. Counts and stamps start anew afterwards.
        """
        if not len(frames):
            return
        self.background.prime(list(frames))
        for k, frame in enumerate(frames):
            stamp = stamps_s[k] if stamps_s is not None else k / self.settings.frame_rate_hz
            self.process(frame, stamp, fluorescence=fluorescence[k] if fluorescence is not None else None)
        self.restart()

    def restart(self) -> None:
        """Forget tracks, stamps and counts; keep what was learnt of chip, light and flow."""
        if self._linker is not None:
            self._linker.restart()
        if self._appearances is not None:
            self._appearances.forget_all_but(np.zeros(0, TRACK))
        self.health = CameraHealth()
        self._stamp = None
        self._index = -1

    def process(self, bright_field: NDArray[Any], stamp_s: float, dye: NDArray[Any] | None = None,
                fluorescence: Sequence[NDArray[Any]] | None = None) -> FrameTracks:
        """Find and link the cells of one frame.

        Args:
            bright_field: (H, W) uint8 or uint16.
            stamp_s: time of exposure, s; later than the frame before.
            dye: dead-dye image of the same size, or None.
            fluorescence: up to two class images of the same size; a cell lit in the first has class 1.

        Raises:
            VisionInputError: wrong type, size or encoding, or a stamp that does not advance.
        """
        image = check_image("bright_field", bright_field, self._shape)
        self._shape = (image.shape[0], image.shape[1])
        if dye is not None:
            dye = check_image("dye", dye, self._shape)
        classes = [] if fluorescence is None else list(fluorescence)
        lights = [check_image(f"fluorescence[{k}]", light, self._shape) for k, light in enumerate(classes)]
        if len(lights) > 2:
            raise VisionInputError("fluorescence", f"{len(lights)} images", "at most 2 images")
        self._advance(stamp_s)
        self.health.look_at(image)
        height, width = image.shape
        if not self.health.good:
            return FrameTracks(stamp_s, self._index, [], width, height, usable=False, flow_known=self.flow.known)
        if self._linker is None:
            self._linker = Linker(self.flow, width)
        absorbance = self.background.absorbance(image)
        images = [absorbance] + [channel.prepare(light, self._grey_scale(light))
                                 for channel, light in zip(self._channels, lights, strict=False)]
        expected = self._expected(images, stamp_s)
        found = self.detector.detect(absorbance, self.background.shift_px, expected)
        if self._index < _WARM_FRAMES or self._index % _FOLLOW_EVERY == 0:
            self.background.follow(self.detector.empty_places(), 1 if self._index < _WARM_FRAMES else _FOLLOW_EVERY)
        tracks = self._linker.step(found, stamp_s)
        self._remember(tracks, found, images)
        if dye is not None:
            self._measure_dye(tracks, self._dye.prepare(dye, self._grey_scale(dye)))
        if lights:
            self._measure_lights(tracks, found, images[1:])
        return self._report(tracks, stamp_s, dye is not None, len(lights))

    def sighting(self, usable: bool) -> Sighting:
        """What is held after the last frame, for `hindsight.revise`; `usable` as that frame's tracks say."""
        if not usable or self._linker is None or self._linker.found is None:
            return Sighting(np.zeros(0, TRACK), empty(), None, (0, 0), 0, 0.0)
        mask, top = self.detector.dark_places()
        speed = self.flow.mean_speed_px_s() * self.flow.factor if self.flow.known else 0.0
        return Sighting(self._linker.tracks.copy(), self._linker.found, np.packbits(mask), mask.shape, top,
                        speed / self.settings.frame_rate_hz)

    def _grey_scale(self, image: NDArray[Any]) -> float:
        """Grey levels of an 8-bit picture for each of this one's: control levels are told in those.

        A 16-bit picture's camera may have 10 or 12 bits only: what bright field and this image have shown tells.
        """
        if image.dtype == np.uint8:
            return 1.0
        own = (1 << max(int(image.max()).bit_length(), 10)) - 1
        self._range_end = max(self._range_end, self.health.range_end, own)
        return 255.0 / self._range_end

    def _advance(self, stamp_s: float) -> None:
        if not math.isfinite(stamp_s):
            raise VisionInputError("stamp_s", stamp_s, "a finite time in s")
        if self._stamp is not None:
            if stamp_s <= self._stamp:
                raise VisionInputError("stamp_s", stamp_s, f"> {self._stamp} s, the stamp of the frame before",
                                       "Frames must come in order of time.")
            self.health.dropped += max(0, round((stamp_s - self._stamp) * self.settings.frame_rate_hz) - 1)
        self._stamp = stamp_s
        self._index += 1

    def _expected(self, images: list[FloatImage], stamp_s: float) -> Expected | None:
        """Predicted cells for the detector, once there is a flow to predict with."""
        if self._appearances is None or self._appearances.channels != len(images):
            side = 2 * math.ceil(0.85 * min(self.detector.typical.diameter_px * 1.25, 36.0)) + 1
            if self.detector.typical.contrast > 0.0:
                self._appearances = Appearances(side, len(images))
            return None
        assert self._linker is not None
        tracks = self._linker.tracks
        if not (self._appearances.ready() and self.flow.known and len(tracks)):
            return None
        x, y = self._linker.predict(stamp_s)
        # Fluorescence differs from the remembered patch by more than noise: focus and neighbours change it.
        noises = [self.detector.pixel_noise] + [
            math.hypot(channel.pixel_noise, _LIGHT_ERROR * float(level))
            for channel, level in zip(self._channels[:len(images) - 1], self._lit_levels, strict=False)]
        blob_px, contrast, spread, hits, sized, apart = self._looks(tracks)
        return Expected(tracks["id"], x, y, hits, sized, blob_px, contrast, spread, apart, self._appearances, images,
                        [1.0 / noise for noise in noises], self._lit_levels[:len(images) - 1].tolist())

    def _looks(self, tracks: Tracks) -> tuple[NDArray[Any], ...]:
        """Of each track: blob diameter (0: unknown), contrast, spread of its prediction, hits, times sized, ever apart.

        Who was once well away from every other track is a cell of its own, whoever it meets later.
        """
        apart_px = _APART * self.detector.typical.diameter_px
        compiled = kernel.compiled("expect_cells")
        if compiled is None:
            self._note_who_is_apart(tracks, apart_px)
            spread = np.where(tracks["hits"] > 3, 1.0, 2.0) + 0.3 * tracks["missed"]
            return (np.where(tracks["shapes"] > 1, tracks["blob_px"], 0.0), tracks["contrast"], spread, tracks["hits"],
                    tracks["sized"], tracks["apart"].copy())
        count = len(tracks)
        columns, counts, apart = np.empty((3, count)), np.empty((2, count), np.int32), np.empty(count, bool)
        compiled(count, tracks.ctypes.data, apart_px, columns.ctypes.data, counts.ctypes.data, apart.ctypes.data)
        return (*columns, *counts, apart)

    @staticmethod
    def _note_who_is_apart(tracks: Tracks, apart_px: float) -> None:
        doubtful = np.flatnonzero(~tracks["apart"])
        if not len(doubtful):
            return
        dx = tracks["x"][doubtful, None] - tracks["x"][None]
        dy = tracks["y"][doubtful, None] - tracks["y"][None]
        far = dx * dx + dy * dy
        far[np.arange(len(doubtful)), doubtful] = np.inf
        tracks["apart"][doubtful] = far.min(axis=1) > apart_px**2

    def _remember(self, tracks: Tracks, found: Detections, images: list[FloatImage]) -> None:
        if self._appearances is None:
            return
        self._appearances.remember(tracks, found, images, settled=self.flow.known)
        self._appearances.forget_all_but(tracks)

    def _side_px(self) -> int:
        """Odd side of the square in which a cell's brightness is read: its core."""
        return 2 * max(1, round(0.25 * self.detector.typical.diameter_px)) + 1

    def _measure_dye(self, tracks: Tracks, image: FloatImage) -> None:
        seen = np.flatnonzero((tracks["detection"] >= 0) & ~tracks["edge"])
        if not len(seen):
            return
        value = mean_around(image, tracks["x"][seen], tracks["y"][seen], self._side_px())
        dead = value > self._dye_limit
        if dead.any():
            at = seen[dead]
            self._dye.learn_light(image.shape, tracks["x"][at], tracks["y"][at], value[dead], tracks["id"][at])
        tracks["dye_frames"][seen] += 1
        tracks["dye"][seen] += (value - tracks["dye"][seen]) / tracks["dye_frames"][seen]
        fresh = tracks["dye_frames"][seen] == 1
        self._dye_seen += tracks["dye"][seen[fresh]].tolist()
        # Ever more cells move the limit ever less.
        if len(self._dye_seen) >= self._dye_due:
            self._dye_seen = self._dye_seen[-_DYE_MEMORY:]
            self._dye_due = len(self._dye_seen) + max(1, len(self._dye_seen) // 8)
            self._dye_limit = dye_threshold(np.array(self._dye_seen), self._dye.noise_of_mean(self._side_px()),
                                            self.settings.dye_dead_level)

    def _measure_lights(self, tracks: Tracks, found: Detections, images: list[FloatImage]) -> None:
        """Mean light of each cell; frames in which it stands alone count, others only until there are such."""
        seen = np.flatnonzero((tracks["detection"] >= 0) & ~tracks["edge"])
        if not len(seen):
            return
        lone = found["lone"][tracks["detection"][seen]]
        use = seen[lone | (tracks["shapes"][seen] == 0)]
        if not len(use):
            return
        tracks["fluorescence_frames"][use] += 1
        gain = 1.0 / np.minimum(tracks["fluorescence_frames"][use], 30)
        for k, image in enumerate(images):
            value = mean_around(image, tracks["x"][use], tracks["y"][use], self._side_px())
            tracks["fluorescence"][use, k] += gain * (value - tracks["fluorescence"][use, k])
            noise = self._channels[k].noise_of_mean(self._side_px())
            is_lit = value > max(_LIT * noise, self.settings.fluorescence_lit_level)
            lit = value[is_lit]
            if len(lit):
                at = use[is_lit]
                self._channels[k].learn_light(image.shape, tracks["x"][at], tracks["y"][at], lit, tracks["id"][at])
                self._lit_levels[k] += 0.05 * (median(lit) - self._lit_levels[k]) \
                    if self._lit_levels[k] > 0.0 else median(lit)

    def _lights(self, tracks: Tracks, channels: int) -> NDArray[np.float64]:
        """Light of each cell above the background, grey levels (N, channels); NaN before any was seen."""
        seen = tracks["fluorescence_frames"][:, None] > 0
        light = np.where(seen, tracks["fluorescence"][:, :channels], math.nan)
        if self._appearances is not None and self._appearances.channels == channels + 1:
            # What the cell itself gives, without what its neighbours add.
            own = self._appearances.lights(tracks, self._side_px())
            light = np.where(np.isnan(own), light, own)
        return np.asarray(light)

    def _classes(self, light: NDArray[np.float64]) -> NDArray[np.int_]:
        channels = light.shape[1]
        noise = np.array([channel.noise_of_mean(self._side_px()) for channel in self._channels[:channels]])
        # Lit: well above noise, and not only the tail of what a bright neighbour or another dye adds.
        limit = np.maximum(_LIT * noise, 0.2 * self._lit_levels[:channels])
        limit = np.maximum(limit, self.settings.fluorescence_lit_level)
        relative = light / limit
        best = relative.argmax(axis=1)
        return np.where(relative[np.arange(len(light)), best] > 1.0, best + 1, 0)

    def _report(self, tracks: Tracks, stamp_s: float, with_dye: bool, channels: int) -> FrameTracks:
        assert self._shape is not None
        assert self._linker is not None
        count, px = len(tracks), self.settings.um_per_px
        columns, flags = self._columns(tracks, with_dye)
        diameters = columns[4]
        if self._appearances is not None and self._usual_px > 0.0:
            unknown = np.flatnonzero(tracks["sized"] == 0)
            if len(unknown):
                ids = tracks["id"][unknown]
                if self._index % _SIZE_EVERY == _SIZE_PHASE:
                    sizes = self._appearances.relative_sizes(ids, 0.5 * self.detector.typical.diameter_px)
                    self._sizes = dict(zip(ids.tolist(), sizes.tolist(), strict=True))
                for row, track in zip(unknown.tolist(), ids.tolist(), strict=True):
                    diameters[row] = px * self._usual_px * self._sizes.get(track, math.nan)
        dyes = columns[10]
        dead: list[bool | None] = [None] * count
        if with_dye:
            dead = [None if math.isnan(value) else value > self._dye_limit for value in dyes]
        rest: list[Iterable[Any]] = [[0] * count, *flags]
        if channels:
            light = self._lights(tracks, channels)
            columns_of_light = light.T.tolist()
            if channels < 2:
                columns_of_light.append([math.nan] * count)
            rest = [self._classes(light).tolist(), *flags, zip(*columns_of_light, strict=True)]
        cells = map(TrackedCell, tracks["id"].tolist(), *columns, dead, *rest)
        return FrameTracks(stamp_s, self._index, list(cells), self._shape[1], self._shape[0],
                           flow_known=self.flow.known,
                           flow_speed_px_s=self.flow.mean_speed_px_s() if self.flow.known else math.nan,
                           dye_noise=self._dye.noise_of_mean(self._side_px()) if with_dye else math.nan,
                           focus=self._focus, bubbles=self.detector.bubbles, lit=channels > 0)

    def _columns(self, tracks: Tracks, with_dye: bool) -> tuple[list[list[float]], list[list[bool]]]:
        """What TrackedCell holds from x_px to dye_intensity, and edge, confirmed, measured: a list each."""
        assert self._linker is not None
        px, count = self.settings.um_per_px, len(tracks)
        least_px = self.settings.cell_diameter_min_um / px
        self._focus = math.nan
        sizes, report = kernel.compiled("sizes_of_tracks"), kernel.compiled("report_tracks")
        if sizes is not None and report is not None:
            columns, flags = np.empty((11, count)), np.empty((3, count), bool)
            at, columns_at = tracks.ctypes.data, columns.ctypes.data
            if sizes(count, at, least_px, columns_at, self._usual.ctypes.data):
                sharpness, diameter_px, self._focus = self._usual.tolist()
                self._follow_usual(sharpness, diameter_px)
            report(count, at, px, max(self._sharpness, 1e-9), with_dye, CONFIRMED_FRAMES,
                   self._linker.brief_speed_px_s, *self.flow.for_kernel, columns_at, flags.ctypes.data)
            return columns.tolist(), flags.tolist()
        alone, sized = tracks["shapes"] > 0, tracks["sized"] > 0
        if sized.any():
            edges, widths = tracks["sharpness"][sized], tracks["diameter_px"][sized]
            large = widths >= least_px
            self._focus = median((edges * widths)[large if large.any() else slice(None)])
            self._follow_usual(percentile(edges, 80.0), median(widths))
        values = [
            tracks["x"], tracks["y"], tracks["vx"], tracks["vy"],
            np.where(sized, tracks["diameter_px"], np.nan) * px, np.where(alone, tracks["deformation"], np.nan),
            np.where(alone, tracks["area_px2"] * px * px, np.nan), np.where(alone, tracks["aspect"], np.nan),
            np.where(sized, np.minimum(tracks["sharpness"] / max(self._sharpness, 1e-9), 1.0), np.nan),
            np.where(alone, np.exp(-tracks["contrast"]), np.nan),
            np.where((tracks["dye_frames"] > 0) & with_dye, tracks["dye"], np.nan)]
        marks = [tracks["edge"], self._linker.sure(CONFIRMED_FRAMES), tracks["detection"] >= 0]
        return [column.tolist() for column in values], [mark.tolist() for mark in marks]

    def _follow_usual(self, sharpness: float, diameter_px: float) -> None:
        """Learn the sharper cells' sharpness, 1/px, and the usual diameter of this run."""
        known = self._usual_px > 0.0
        self._sharpness = 0.98 * self._sharpness + 0.02 * sharpness if known else sharpness
        self._usual_px = 0.98 * self._usual_px + 0.02 * diameter_px if known else diameter_px
