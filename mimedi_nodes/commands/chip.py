# SPDX-License-Identifier: Apache-2.0
"""`workcell chip`: what a channel's width gives, and cut files for the laser cutter."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..chip_design.acoustics import Cell, Design
from ..chip_design.drawing import dxf, lay_out, svg

EXIT_REFUSED = 2
LEAST_START_SHARE, END_SHARE = 0.107, 0.40
"""From 40 µm of 375 µm off the wall to the centre stream's edge at 150 µm."""


def main(argv: Sequence[str]) -> int:
    """Design a chip; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell chip",
        description="Designs an acoustic chip: half-wave resonance, focusing length and throughput for a cell in PBS; "
        "writes cut files with an engraved identifier. Exit status 2: a value cannot be.",
        epilog="Examples: ./workcell chip --width-um 375; "
        "./workcell chip --width-um 500 --channels 8 --id CHIP-0042 --svg chip.svg --dxf chip.dxf --json",
    )
    nominal = Design()
    for name, unit in (("width_um", "um"), ("depth_um", "um"), ("length_mm", "mm"), ("temperature_c", "degC"),
                       ("energy_j_m3", "J/m3")):  # fmt: skip
        option, default = f"--{name.replace('_', '-')}", getattr(nominal, name)
        parser.add_argument(option, type=float, default=default, metavar=unit, help="default %(default)g")
    parser.add_argument("--channels", type=int, default=nominal.channels, help="default %(default)d")
    parser.add_argument("--radius-um", type=float, default=3.65, help="of the cell [um], default %(default)g")
    parser.add_argument("--id", default="CHIP-0001", help="engraved identifier, default %(default)s")
    parser.add_argument("--svg", type=Path, help="write the cut file as SVG")
    parser.add_argument("--dxf", type=Path, help="write the cut file as DXF")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args(list(argv))
    try:
        if not 0.5 <= options.radius_um <= 20.0:
            raise ValueError(f"radius_um = {options.radius_um:g}: allowed 0.5 to 20")
        design = Design(
            options.width_um, options.depth_um, options.length_mm, options.channels, options.temperature_c,
            options.energy_j_m3,
        )
        cell, width_m = Cell(options.radius_um * 1e-6), design.width_um * 1e-6
        start_m, end_m = LEAST_START_SHARE * width_m, END_SHARE * width_m
        found = {
            "resonance_hz": design.resonance_hz,
            "focusing_time_s": design.focusing_time_s(cell, start_m, end_m),
            "throughput_ul_min": design.throughput_ul_min(cell, start_m, end_m),
            "identifier": options.id,
        }
        layout = lay_out(design, options.id)
        for path, text in ((options.svg, svg), (options.dxf, dxf)):
            if path is not None:
                path.write_text(text(layout), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"workcell chip: {error}", file=sys.stderr)
        return EXIT_REFUSED
    if options.json:
        print(json.dumps(found))
    else:
        print(f"resonance   {found['resonance_hz'] / 1e6:.4f} MHz at {design.temperature_c:g} degC")
        print(f"focusing    {found['focusing_time_s']:.2f} s at {design.energy_j_m3:g} J/m3")
        where = f"{design.channels} channels of {design.length_mm:g} mm"
        print(f"throughput  {found['throughput_ul_min']:.0f} uL/min in {where}")
    return 0
