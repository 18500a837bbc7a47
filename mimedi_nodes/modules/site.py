# SPDX-License-Identifier: Apache-2.0
"""The site file: which instrument is on which port, which vessel on which valve port."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml.error import YAMLError

from ..process.diagnostics import schema_faults
from ..process.errors import WorkcellError
from ..records.yaml_text import load


class SiteError(WorkcellError):
    """The site file cannot be used; says every field that is wrong."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InstrumentLine(_Strict):
    """One serial line and what is on it."""

    module: str = Field(description="module that owns the line")
    protocol: Literal[
        "cavro_dt", "sics", "scpi_generator", "scpi_impedance", "modbus_bioreactor", "modbus_enclosure",
        "photon_counter", "grbl", "shdlc_flow", "ppt_pressure", "scpi_afm", "scpi_spr", "scpi_plate_reader",
        "scpi_droplet_reader", "scpi_cytometer",
    ]
    port: str = Field(description="device path; a relative one is taken from the node's port_dir")
    baud: int = Field(default=9600, ge=1200, le=921600)
    addresses: dict[str, int] = Field(default_factory=dict, description="device name to bus address")
    syringe_ul: dict[str, float] = Field(default_factory=dict, description="pump name to syringe volume [uL]")
    calibration_due: str = Field(description="ISO date until which the calibration holds")


class Vessel(_Strict):
    """One vessel of the workcell."""

    capacity_ul: float = Field(gt=0)
    scale: str | None = Field(default=None, description="instrument line that weighs it")
    density_g_ml: float = Field(default=1.0, gt=0.5, lt=2.0)
    ports: dict[str, int] = Field(default_factory=dict, description="valve name to port number")


class Fiducials(_Strict):
    """Round dark marks of a chip, and where the channel's walls are, in the chip's own frame."""

    diameter_um: float = Field(gt=0)
    places_um: list[tuple[float, float]] = Field(min_length=4, description="x along the flow, y across it")
    walls_um: tuple[float, float] = Field(description="y of the upper and of the lower wall")


class ChannelCamera(_Strict):
    """A camera over a microchannel: its picture, where the channel's walls are in it, and its rate."""

    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    um_per_px: float = Field(gt=0)
    wall_top_px: float
    wall_bottom_px: float
    channel_depth_um: float = Field(gt=0)
    frame_rate_hz: float = Field(gt=0)
    fiducials: Fiducials | None = Field(default=None, description="the chip's marks; without them its walls calibrate")


class SorterCamera(ChannelCamera):
    """The strobed camera over one of the sorter's channels, just before its outlets."""

    centre_band_um: float = Field(gt=0, description="width of the stream that the centre outlet takes when sorting")


class LabelCamera(_Strict):
    """The camera on the gantry's carriage that reads labels: its picture, principal point in the middle."""

    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    focal_px: float = Field(gt=0)
    frame_rate_hz: float = Field(gt=0)


class Site(_Strict):
    """A workcell's site: instruments, vessels, cameras, keys of the laboratory."""

    site: str
    instruments: dict[str, InstrumentLine]
    vessels: dict[str, Vessel]
    microscope: ChannelCamera
    sorter_camera: SorterCamera
    label_camera: LabelCamera
    docks: dict[str, tuple[float, float, float]] = Field(
        default_factory=dict, description="dock name to the gantry's machine position [mm] at which it grips there"
    )
    cassettes: dict[str, str] = Field(default_factory=dict, description="dock name to label of the cassette there")
    laboratory_keys: dict[str, str] = Field(default_factory=dict, description="key id to Ed25519 public key, hex")

    @model_validator(mode="after")
    def _one_vessel_on_each_port(self) -> Site:
        """Refuse two vessels on one port of a valve: one vessel on each port."""
        taken: dict[tuple[str, int], str] = {}
        for name, vessel in self.vessels.items():
            for valve, port in vessel.ports.items():
                other = taken.setdefault((valve, port), name)
                if other != name:
                    raise ValueError(f"vessels {other} and {name} are both on port {port} of {valve}; give one another")
        return self

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


def load_site(path: Path) -> Site:
    """Read and validate a site file; raises SiteError with every wrong field."""
    try:
        data = load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise SiteError(f"{path}: cannot be read: {error}") from error
    try:
        return Site.model_validate(data)
    except ValidationError as error:
        raise SiteError(schema_faults(path, error)) from error
