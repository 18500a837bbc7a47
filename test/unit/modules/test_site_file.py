# SPDX-License-Identifier: Apache-2.0
"""A site file that is wrong is told what is wrong where, in lines that fit a screen."""

import pytest

from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.modules.site import SiteError
from mimedi_nodes.modules.site_file import load_site

DEMO = (config_folder() / "site" / "demo.yaml").read_text(encoding="utf-8")


def refused(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SiteError) as caught:
        load_site(path)
    return str(caught.value).splitlines()


def test_a_missing_field_is_named_and_so_is_the_misspelt_one(tmp_path):
    lines = refused(tmp_path, DEMO.replace("\nmicroscope:", "\nmicroscop:"))
    assert lines[0] == "2 errors:"
    assert any("key 'microscope' is missing" in line for line in lines)
    assert any("unknown key 'microscop'; allowed: site, instruments" in line for line in lines)
    assert all(len(line) < 400 for line in lines)


def test_every_wrong_value_is_named_at_once_with_its_line(tmp_path):
    lines = refused(tmp_path, DEMO.replace("um_per_px: 0.65", "um_per_px: -1"))
    assert lines[0] == "2 errors:"
    where = [number for number, line in enumerate(DEMO.splitlines(), 1) if "um_per_px: 0.65" in line]
    assert len(where) == 2
    for number, line in zip(where, lines[1:], strict=True):
        assert line.startswith(f"site.yaml:{number}: ")
        assert line.endswith("um_per_px ('-1'): not a number above 0; allowed: above 0")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("baud: 38400", "baud: 38400.5", "baud ('38400.5'): not a whole number; allowed: 1200 to 921600"),
        ("baud: 38400", "baud: fast", "baud ('fast'): not a number"),
        ("protocol: cavro_dt", "protocol: cavro", "protocol ('cavro'): not one of the allowed values"),
        ("site: demo", "site: [demo]", "not a text"),
        ("frame_rate_hz: 50.0", "frame_rate_hz: .inf", "microscope.frame_rate_hz ('inf'): not a number above 0"),
        ("hatch: [", "hatch: [0.0, ", "docks.hatch ('[0.0, -10.0, "),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, old, new, told):
    assert old in DEMO
    assert any(told in line for line in refused(tmp_path, DEMO.replace(old, new)))
