# SPDX-License-Identifier: Apache-2.0
"""A site file that is wrong is told what is wrong where, in lines that fit a screen."""

import pytest

from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.modules.site import SiteError, load_site

DEMO = (config_folder() / "site" / "demo.yaml").read_text(encoding="utf-8")


def refused(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SiteError) as caught:
        load_site(path)
    return str(caught.value).splitlines()


def test_a_missing_field_is_named_without_all_that_stands_around_it(tmp_path):
    lines = refused(tmp_path, DEMO.replace("\nmicroscope:", "\nmicroscop:"))
    assert any(line.endswith("microscope: Field required") for line in lines)
    assert any("microscop: Extra inputs are not permitted" in line for line in lines)
    assert all(len(line) < 400 for line in lines)


def test_every_wrong_value_is_named_at_once(tmp_path):
    lines = refused(tmp_path, DEMO.replace("um_per_px: 0.65", "um_per_px: -1"))
    assert len(lines) == 2, lines
    assert all("um_per_px" in line and "greater than 0" in line and "(value: '-1')" in line for line in lines)
