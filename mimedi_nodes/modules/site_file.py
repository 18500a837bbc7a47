# SPDX-License-Identifier: Apache-2.0
"""Reading a site file: every wrong field at once, with its line and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..process.diagnostics import DiagnosticError
from ..process.yaml_tree import Reader, Tree, given, read_document
from .site import ChannelCamera, Fiducials, InstrumentLine, LabelCamera, Site, SiteError, SorterCamera, Vessel

PROTOCOLS = (
    "cavro_dt", "sics", "scpi_generator", "scpi_impedance", "modbus_bioreactor", "modbus_enclosure",
    "photon_counter", "grbl", "shdlc_flow", "ppt_pressure", "scpi_afm", "scpi_spr", "scpi_plate_reader",
    "scpi_droplet_reader", "scpi_cytometer",
)  # fmt: skip
_REQUIRED = ("site", "instruments", "vessels", "microscope", "sorter_camera", "label_camera")
_OPTIONAL = ("docks", "cassettes", "laboratory_keys", "recipe_approvers")
_PICTURE = ("width_px", "height_px", "frame_rate_hz")
_CHANNEL = (*_PICTURE, "um_per_px", "wall_top_px", "wall_bottom_px", "channel_depth_um")


def load_site(path: Path) -> Site:
    """Read and validate a site file; raises SiteError with every wrong field."""
    try:
        reader, items = read_document(path, _REQUIRED, _OPTIONAL)
        site = _site(reader, items)
        reader.finish()
    except DiagnosticError as error:
        raise SiteError(str(error)) from error
    return site


def _site(reader: Reader, items: Mapping[str, Tree]) -> Site:
    docks = {name: reader.numbers(tree, 3) for name, tree in _named(reader, items, "docks")}
    site = Site(
        reader.text(items.get("site")),
        {name: _line(reader, tree) for name, tree in _named(reader, items, "instruments")},
        {name: _vessel(reader, tree) for name, tree in _named(reader, items, "vessels")},
        ChannelCamera(**_channel(reader, items.get("microscope"))),
        _sorter_camera(reader, items.get("sorter_camera")),
        _label_camera(reader, items.get("label_camera")),
        cast(Mapping[str, tuple[float, float, float]], docks),
        {name: reader.text(tree) for name, tree in _named(reader, items, "cassettes")},
        {name: reader.text(tree) for name, tree in _named(reader, items, "laboratory_keys")},
        {name: reader.text(tree) for name, tree in _named(reader, items, "recipe_approvers")},
    )
    _one_vessel_on_each_port(reader, items.get("vessels"), site)
    return site


def _named(reader: Reader, items: Mapping[str, Tree], key: str) -> list[tuple[str, Tree]]:
    """Return the items of a mapping that has names of people's choice."""
    return list(reader.mapping(given(items, key), optional=None).items())


def _line(reader: Reader, tree: Tree) -> InstrumentLine:
    items = reader.mapping(
        tree, ("module", "protocol", "port", "calibration_due"), ("baud", "addresses", "syringe_ul")
    )
    return InstrumentLine(
        reader.text(items.get("module")),
        reader.text(items.get("protocol"), PROTOCOLS),
        reader.text(items.get("port")),
        reader.text(items.get("calibration_due")),
        reader.whole(items.get("baud"), 1200, 921600, 9600),
        {name: reader.whole(item, 0, 255, 0) for name, item in _named(reader, items, "addresses")},
        {name: reader.positive(item) for name, item in _named(reader, items, "syringe_ul")},
    )


def _vessel(reader: Reader, tree: Tree) -> Vessel:
    items = reader.mapping(tree, ("capacity_ul",), ("scale", "density_g_ml", "ports"))
    scale = given(items, "scale")
    return Vessel(
        reader.positive(items.get("capacity_ul")),
        reader.number(items.get("density_g_ml"), 0.5, 2.0, 1.0),
        reader.text(scale) if scale is not None else None,
        {valve: reader.whole(item, 1, 255, 1) for valve, item in _named(reader, items, "ports")},
    )


def _one_vessel_on_each_port(reader: Reader, vessels: Tree | None, site: Site) -> None:
    taken: dict[tuple[str, int], str] = {}
    for name, vessel in site.vessels.items():
        for valve, port in vessel.ports.items():
            other = taken.setdefault((valve, port), name)
            if other != name and vessels is not None:
                reader.wrong(
                    vessels.value[name], f"vessels {other} and {name} are both on port {port} of {valve}",
                    "one vessel on each port",
                )


def _channel(reader: Reader, tree: Tree | None, *more: str) -> dict[str, Any]:
    items = reader.mapping(tree, (*_CHANNEL, *more), ("fiducials",))
    fiducials = given(items, "fiducials")
    return _picture(reader, items) | {
        "um_per_px": reader.positive(items.get("um_per_px")),
        "wall_top_px": reader.number(items.get("wall_top_px")),
        "wall_bottom_px": reader.number(items.get("wall_bottom_px")),
        "channel_depth_um": reader.positive(items.get("channel_depth_um")),
        "fiducials": _fiducials(reader, fiducials) if fiducials is not None else None,
        **{name: reader.positive(items.get(name)) for name in more},
    }


def _picture(reader: Reader, items: Mapping[str, Tree]) -> dict[str, Any]:
    return {
        "width_px": reader.whole(items.get("width_px"), 1, 65535, 1),
        "height_px": reader.whole(items.get("height_px"), 1, 65535, 1),
        "frame_rate_hz": reader.positive(items.get("frame_rate_hz")),
    }


def _sorter_camera(reader: Reader, tree: Tree | None) -> SorterCamera:
    return SorterCamera(**_channel(reader, tree, "centre_band_um"))


def _label_camera(reader: Reader, tree: Tree | None) -> LabelCamera:
    items = reader.mapping(tree, (*_PICTURE, "focal_px", "calibration_due"))
    due = reader.text(items.get("calibration_due"))
    return LabelCamera(
        **_picture(reader, items), focal_px=reader.positive(items.get("focal_px")), calibration_due=due
    )


def _fiducials(reader: Reader, tree: Tree) -> Fiducials:
    items = reader.mapping(tree, ("diameter_um", "places_um", "walls_um"))
    places = tuple(reader.numbers(item, 2) for item in reader.items(items.get("places_um"), 4))
    return Fiducials(
        reader.positive(items.get("diameter_um")),
        cast(tuple[tuple[float, float], ...], places),
        cast(tuple[float, float], reader.numbers(items.get("walls_um"), 2)),
    )
