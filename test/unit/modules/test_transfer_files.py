# SPDX-License-Identifier: Apache-2.0
"""What the transfer keeps on disk: cassettes' whereabouts with the wrist, and the label camera's place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.modules.transfer.hand_eye import CalibrationError, HandEye, HandEyeFile
from mimedi_nodes.modules.transfer.whereabouts import GRIPPER, Whereabouts, WhereaboutsError

PLACES, LABELS = ("hatch", "store", "fluidics", GRIPPER), ("CASSETTE-1", "CASSETTE-2", "CASSETTE-3")


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from((*LABELS, "")))))
def test_a_cassette_is_at_one_place_and_a_place_holds_one_cassette(steps):
    whereabouts, told = Whereabouts({"hatch": "CASSETTE-1"}), []
    whereabouts.changed = lambda: told.append(whereabouts.places)
    for place, label in steps:
        if label:
            whereabouts.put(place, label)
            assert whereabouts.at(place) == label
        else:
            whereabouts.clear(place)
            assert whereabouts.at(place) == ""
        known = whereabouts.places
        assert len(set(known.values())) == len(known)
        assert GRIPPER not in whereabouts.docks
        assert not told or told[-1] == known


def test_whereabouts_and_wrist_are_known_through_a_restart(tmp_path):
    path = tmp_path / "cassettes.json"
    first = Whereabouts({"hatch": "CASSETTE-1"}, path)
    assert not path.exists()  # what the site says holds until something is known better
    first.put(GRIPPER, "CASSETTE-1")
    first.turn(math.pi / 2)
    again = Whereabouts({"hatch": "CASSETTE-1"}, path)
    assert (again.places, again.wrist_rad) == ({GRIPPER: "CASSETTE-1"}, math.pi / 2)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cassettes": {"hatch": 7}, "wrist_rad": 0}', '{"cassettes": {}, "wrist_rad": NaN}']
)
def test_damaged_whereabouts_are_no_whereabouts(tmp_path, text):
    path = tmp_path / "cassettes.json"
    path.write_text(text)
    with pytest.raises(WhereaboutsError, match=r"cassettes\.json: .*look where every cassette is"):
        Whereabouts({}, path)


def test_the_cameras_place_is_kept_until_it_expires_and_a_damaged_one_refused(tmp_path):
    path = tmp_path / "label_camera.json"
    pose = np.eye(4)
    pose[:3, 3] = (0.115, 0.0, -0.15)
    HandEyeFile(path).keep(HandEye(pose, 0.2), 3600.0)
    again = HandEyeFile(path)
    assert again.expires_s == 3600.0
    assert again.known is not None
    assert again.known.pose == pytest.approx(pose)
    path.write_text(path.read_text().replace("1.0", "0.5", 1))  # no rotation any more
    with pytest.raises(CalibrationError, match="holds no pose"):
        HandEyeFile(path)
    path.write_text("{}")
    with pytest.raises(CalibrationError, match="cannot be read"):
        HandEyeFile(path)
