# SPDX-License-Identifier: Apache-2.0
"""tf2_msgs, a distribution's or the one built where there is none: the same types on the wire."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        importlib.util.find_spec('tf2_msgs') is None and not os.environ.get('CI'),
        reason='tf2_msgs is not built: ./workcell test',
    ),
]

# Type hashes that ROS 2 (Jazzy and newer) shows, as in `ros2 topic info -v /tf`: over names, types and order of
# the fields, also of the nested ones.
TYPE_HASHES = {
    'msg/TFMessage': 'RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087',
    'msg/TF2Error': 'RIHS01_db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a',
}


def share():
    """Return the package's share folder, the first on AMENT_PREFIX_PATH as ROS takes it."""
    places = [Path(prefix, 'share/tf2_msgs') for prefix in os.environ['AMENT_PREFIX_PATH'].split(os.pathsep)]
    return next(place for place in places if place.is_dir())


@pytest.mark.parametrize('name', TYPE_HASHES)
def test_types_are_those_of_a_distribution(name):
    """Otherwise nodes here and on a ROS host would not hear each other's frames."""
    described = json.loads((share() / f'{name}.json').read_text())
    hashes = {entry['type_name']: entry['hash_string'] for entry in described['type_hashes']}
    assert hashes[f'tf2_msgs/{name}'] == TYPE_HASHES[name]


def test_frames_survive_serialization():
    """The type supports load and agree with Python's class."""
    from geometry_msgs.msg import TransformStamped
    from rclpy.serialization import deserialize_message, serialize_message
    from tf2_msgs.msg import TFMessage

    frame = TransformStamped(child_frame_id='pipette')
    frame.header.frame_id = 'cell'
    frame.transform.translation.z = 0.25
    message = TFMessage(transforms=[frame, TransformStamped()])
    assert deserialize_message(serialize_message(message), TFMessage) == message


def test_service_action_and_error_codes():
    """Fields and constants by name."""
    from tf2_msgs.action import LookupTransform
    from tf2_msgs.msg import TF2Error
    from tf2_msgs.srv import FrameGraph

    codes = ['NO', 'LOOKUP', 'CONNECTIVITY', 'EXTRAPOLATION', 'INVALID_ARGUMENT', 'TIMEOUT', 'TRANSFORM']
    assert [getattr(TF2Error, f'{code}_ERROR') for code in codes] == list(range(7))
    assert FrameGraph.Response(frame_yaml='a').frame_yaml == 'a'
    assert FrameGraph.Request.get_fields_and_field_types().keys() == set()
    assert LookupTransform.Goal.get_fields_and_field_types() == {
        'target_frame': 'string', 'source_frame': 'string',
        'source_time': 'builtin_interfaces/Time', 'timeout': 'builtin_interfaces/Duration',
        'target_time': 'builtin_interfaces/Time', 'fixed_frame': 'string', 'advanced': 'boolean',
    }  # fmt: skip
    assert LookupTransform.Result.get_fields_and_field_types() == {
        'transform': 'geometry_msgs/TransformStamped', 'error': 'tf2_msgs/TF2Error'
    }
