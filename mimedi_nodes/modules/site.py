# SPDX-License-Identifier: Apache-2.0
"""A workcell's site: which instrument is on which port, which vessel on which valve port, what the cameras see.

`site_file` reads it from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..process.errors import WorkcellError


class SiteError(WorkcellError):
    """The site file cannot be used; says every field that is wrong."""


@dataclass(frozen=True)
class InstrumentLine:
    """One serial line and what is on it.

    Args:
        module: module that owns the line.
        protocol: what is spoken, one of `site_file.PROTOCOLS`.
        port: device path; a relative one is taken from the node's port_dir.
        calibration_due: ISO date until which the calibration holds.
        baud: rate of the line [1/s].
        addresses: device name to bus address.
        syringe_ul: pump name to syringe volume [uL].
    """

    module: str
    protocol: str
    port: str
    calibration_due: str
    baud: int = 9600
    addresses: Mapping[str, int] = field(default_factory=dict)
    syringe_ul: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Vessel:
    """One vessel of the workcell.

    Args:
        capacity_ul: what it holds at the most [uL].
        density_g_ml: of its content [g/mL].
        scale: instrument line that weighs it; None when nothing does.
        ports: valve name to port number.
    """

    capacity_ul: float
    density_g_ml: float = 1.0
    scale: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fiducials:
    """Round dark marks of a chip, and where the channel's walls are, in the chip's own frame [um].

    Args:
        diameter_um: of a mark.
        places_um: x along the flow and y across it, of four marks or more.
        walls_um: y of the upper and of the lower wall.
    """

    diameter_um: float
    places_um: tuple[tuple[float, float], ...]
    walls_um: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ChannelCamera:
    """A camera over a microchannel: its picture, where the channel's walls are in it, and its rate.

    `fiducials` are the chip's marks; without them its walls calibrate the camera.
    """

    width_px: int
    height_px: int
    um_per_px: float
    wall_top_px: float
    wall_bottom_px: float
    channel_depth_um: float
    frame_rate_hz: float
    fiducials: Fiducials | None = None


@dataclass(frozen=True, kw_only=True)
class SorterCamera(ChannelCamera):
    """The strobed camera over one of the sorter's channels, just before its outlets.

    `centre_band_um` is the width of the stream that the centre outlet takes when sorting.
    """

    centre_band_um: float


@dataclass(frozen=True)
class LabelCamera:
    """The camera on the gantry's carriage that reads labels: its picture, principal point in the middle.

    Args:
        calibration_due: ISO date until which the last hand-eye calibration of another place holds.
    """

    width_px: int
    height_px: int
    focal_px: float
    frame_rate_hz: float
    calibration_due: str


@dataclass(frozen=True)
class Site:
    """A workcell's site.

    Args:
        site: its name.
        instruments: lines by name.
        vessels: by name.
        microscope, sorter_camera, label_camera: the cameras.
        docks: dock name to the gantry's machine position [mm] at which it grips there.
        cassettes: dock name to label of the cassette that stands there.
        laboratory_keys: key id to Ed25519 public key, hex.
        recipe_approvers: whose signature under a recipe this site trusts, key id to Ed25519 public key, hex.
    """

    site: str
    instruments: Mapping[str, InstrumentLine]
    vessels: Mapping[str, Vessel]
    microscope: ChannelCamera
    sorter_camera: SorterCamera
    label_camera: LabelCamera
    docks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    cassettes: Mapping[str, str] = field(default_factory=dict)
    laboratory_keys: Mapping[str, str] = field(default_factory=dict)
    recipe_approvers: Mapping[str, str] = field(default_factory=dict)

    @property
    def calibrations_due(self) -> dict[str, str]:
        """Instrument → ISO date until which it is calibrated: the lines, and the camera that guides the gantry."""
        lines = {name: line.calibration_due for name, line in self.instruments.items()}
        return {**lines, "label_camera": self.label_camera.calibration_due}

    def lines_of(self, module: str) -> dict[str, InstrumentLine]:
        """Return the instrument lines that a module owns, by name."""
        return {name: line for name, line in self.instruments.items() if line.module == module}

    def port_of(self, vessel: str, valve: str) -> int:
        """Return the port of `valve` that leads to `vessel`; raises SiteError naming what exists."""
        if vessel not in self.vessels:
            raise SiteError(f"vessel {vessel!r} is not in the site file; it has {', '.join(sorted(self.vessels))}")
        ports = self.vessels[vessel].ports
        if valve not in ports:
            reachable = sorted(name for name, v in self.vessels.items() if valve in v.ports)
            raise SiteError(f"vessel {vessel!r} is not on {valve}; it reaches {', '.join(reachable)}")
        return ports[valve]
