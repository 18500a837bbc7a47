# SPDX-License-Identifier: Apache-2.0
"""Cut files: outline and channels to cut, identifier to engrave, as SVG and DXF in millimetres.

Red hairlines are cut, black is engraved: the usual colour mapping of laser cutters' printer drivers. The identifier is
a Data Matrix (ISO/IEC 16022) with the text beside it.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .acoustics import Design

MARGIN_MM, WALL_MM, PORT_MM, CODE_MM, HEAD_MM = 4.0, 0.6, 1.2, 8.0, 12.0
IDENTIFIER = re.compile(r"[A-Z0-9-]{3,24}")


@dataclass(frozen=True)
class Rectangle:
    """A rectangle: left, top, width, height [mm]."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Where everything lies on the plate [mm]; y downwards."""

    plate: Rectangle
    channels: tuple[Rectangle, ...]
    ports: tuple[tuple[float, float], ...]
    """Middles of the round ports, one at each end of each channel."""
    dots: tuple[Rectangle, ...]
    """Dark runs of the identifier's code."""
    identifier: str


def lay_out(design: Design, identifier: str) -> Layout:
    """Place channels and identifier.

    Raises:
        ValueError: an identifier that cannot be engraved.
    """
    if not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"identifier {identifier!r}: 3 to 24 capital letters, digits and hyphens")
    wide = design.width_um * 1e-3
    pitch = max(wide, PORT_MM) + WALL_MM
    top = MARGIN_MM + HEAD_MM
    length = design.length_mm + 2.0 * PORT_MM
    channels = tuple(
        Rectangle(MARGIN_MM, top + k * pitch + 0.5 * (pitch - wide), length, wide) for k in range(design.channels)
    )
    ports = tuple((x, c.y + 0.5 * wide) for c in channels for x in (c.x, c.x + length))
    plate = Rectangle(0.0, 0.0, length + 2.0 * MARGIN_MM, top + design.channels * pitch + MARGIN_MM)
    return Layout(plate, channels, ports, _dots(identifier), identifier)


def code_modules(identifier: str) -> NDArray[np.bool_]:
    """Return the Data Matrix of an identifier, True is dark, with its quiet zone."""
    import zxingcpp

    code = zxingcpp.create_barcode(identifier, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    return np.asarray(np.array(code.to_image(scale=1)) == 0)


def _dots(identifier: str) -> tuple[Rectangle, ...]:
    modules = code_modules(identifier)
    side = CODE_MM / modules.shape[0]
    return tuple(
        Rectangle(MARGIN_MM + x * side, MARGIN_MM + y * side, side, side) for y, x in np.argwhere(modules).tolist()
    )


def svg(layout: Layout) -> str:
    """Return the cut file as SVG."""
    cut = 'fill="none" stroke="#ff0000" stroke-width="0.01"'

    def box(r: Rectangle, style: str) -> str:
        return f'<rect x="{r.x:.4f}" y="{r.y:.4f}" width="{r.width:.4f}" height="{r.height:.4f}" {style}/>'

    lines = [box(layout.plate, cut), *(box(channel, cut) for channel in layout.channels)]
    lines += [f'<circle cx="{x:.4f}" cy="{y:.4f}" r="{0.5 * PORT_MM}" {cut}/>' for x, y in layout.ports]
    lines += [box(dot, 'fill="#000000"') for dot in layout.dots]
    lines.append(
        f'<text x="{MARGIN_MM + CODE_MM + 1.5}" y="{MARGIN_MM + 0.6 * CODE_MM}" font-size="2.5" '
        f'font-family="DejaVu Sans, sans-serif">{html.escape(layout.identifier)}</text>'
    )
    w, h = layout.plate.width, layout.plate.height
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}mm" height="{h}mm" viewBox="0 0 {w} {h}">\n{body}\n</svg>\n'
    )


def dxf(layout: Layout) -> str:
    """Return the cut file as DXF R2010 [mm], layers CUT and ENGRAVE; y upwards."""
    import ezdxf
    from ezdxf import units

    document = ezdxf.new("R2010", units=units.MM)
    document.layers.add("CUT", color=1)
    document.layers.add("ENGRAVE", color=7)
    space, height = document.modelspace(), layout.plate.height

    def box(r: Rectangle, layer: str) -> None:
        low, high = height - r.y - r.height, height - r.y
        corners = [(r.x, low), (r.x + r.width, low), (r.x + r.width, high), (r.x, high)]
        space.add_lwpolyline(corners, close=True, dxfattribs={"layer": layer})

    for rectangle in (layout.plate, *layout.channels):
        box(rectangle, "CUT")
    for x, y in layout.ports:
        space.add_circle((x, height - y), 0.5 * PORT_MM, dxfattribs={"layer": "CUT"})
    for dot in layout.dots:
        box(dot, "ENGRAVE")
    place = (MARGIN_MM + CODE_MM + 1.5, height - MARGIN_MM - 0.6 * CODE_MM)
    space.add_text(layout.identifier, height=2.0, dxfattribs={"layer": "ENGRAVE"}).set_placement(place)
    out = io.StringIO()
    document.write(out)
    return out.getvalue()
