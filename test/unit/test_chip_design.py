# SPDX-License-Identifier: Apache-2.0
"""The chip designer against reference values, and its cut files read by others."""

import io
from xml.etree import ElementTree

import ezdxf
import numpy as np
import pytest
import zxingcpp

from mimedi_nodes.chip_design.acoustics import Cell, Design
from mimedi_nodes.chip_design.drawing import code_modules, dxf, lay_out, svg
from mimedi_nodes.commands.chip import main

CHIP = Design()


def test_reference_values():
    """PHYSICS §2: 2.Phi.lym, 2.tfocus.a, 2.Lneed.a; the resonance of 375 um in PBS."""
    cell = Cell()
    assert cell.contrast == pytest.approx(0.0527204, rel=1e-5)
    assert CHIP.resonance_hz == pytest.approx(2.0093e6, rel=1e-4)
    assert Design(temperature_c=37.0).resonance_hz == pytest.approx(2.0441e6, rel=3e-4)
    assert CHIP.focusing_time_s(cell, 4e-5, 1.6875e-4) == pytest.approx(0.980907, rel=1e-4)
    assert CHIP.focusing_length_m(cell, 1.66667e-9, 4e-5, 1.5e-4) == pytest.approx(0.0359065, rel=1e-3)


def test_the_flow_adds_up_over_the_cross_section():
    y = np.linspace(0.0, 375e-6, 2001)
    middle = CHIP.velocity_m_s(y, 1e-9)
    assert middle[0] == pytest.approx(0.0, abs=1e-6)
    assert middle.max() > 1e-9 / (375e-6 * 150e-6)  # faster than the mean
    assert middle == pytest.approx(middle[::-1])


def test_throughput_is_the_flow_at_which_the_length_is_enough():
    cell = Cell()
    flow = CHIP.throughput_ul_min(cell, 4e-5, 1.5e-4) / 6e10 / CHIP.channels
    assert CHIP.focusing_length_m(cell, flow, 4e-5, 1.5e-4) == pytest.approx(0.027)


@pytest.mark.parametrize(("field", "value"), [("width_um", 50.0), ("channels", 0), ("energy_j_m3", float("nan"))])
def test_what_cannot_be_cut_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} = .*allowed"):
        Design(**{field: value})


def test_what_goes_to_the_walls_is_not_focused():
    with pytest.raises(ValueError, match="nothing to be focused"):
        CHIP.focusing_time_s(Cell(density_kg_m3=970.0, compressibility_pa=9.72e-10), 4e-5, 1.5e-4)


def test_the_cut_files_hold_every_channel_and_the_code_reads_as_its_identifier():
    layout = lay_out(CHIP, "CHIP-0042")
    drawing = ElementTree.fromstring(svg(layout))
    name = "{http://www.w3.org/2000/svg}"
    cut = [r for r in drawing.iter(f"{name}rect") if r.get("stroke") == "#ff0000"]
    assert len(cut) == 1 + CHIP.channels
    assert float(cut[1].get("height")) == pytest.approx(0.375)
    assert len(list(drawing.iter(f"{name}circle"))) == 2 * CHIP.channels
    document = ezdxf.read(io.StringIO(dxf(layout)))
    assert not document.audit().errors
    space = document.modelspace()
    assert len(space.query("CIRCLE[layer=='CUT']")) == 2 * CHIP.channels
    assert len(space.query("LWPOLYLINE[layer=='CUT']")) == 1 + CHIP.channels
    assert space.query("TEXT").first.dxf.text == "CHIP-0042"
    picture = np.kron(np.where(code_modules("CHIP-0042"), 0, 255), np.ones((6, 6))).astype(np.uint8)
    assert [code.text for code in zxingcpp.read_barcodes(picture)] == ["CHIP-0042"]
    for r in layout.channels:
        assert r.x > 0
        assert r.x + r.width < layout.plate.width
        assert r.y + r.height < layout.plate.height


def test_the_command_writes_files_and_refuses_in_words(tmp_path, capsys):
    assert main(["--id", "CHIP-7", "--svg", str(tmp_path / "a.svg"), "--dxf", str(tmp_path / "a.dxf"), "--json"]) == 0
    assert '"resonance_hz": 2009' in capsys.readouterr().out
    assert (tmp_path / "a.svg").stat().st_size > 1000
    assert main(["--width-um", "10"]) == 2
    assert "allowed 100 to 1000" in capsys.readouterr().err
    assert main(["--id", "chip 1"]) == 2
