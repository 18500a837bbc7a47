# SPDX-License-Identifier: Apache-2.0
"""The robot model alone: its description and frames, RViz where it is installed, and on demand Gazebo.

robot_state_publisher and joint_state_publisher_gui are used where they are installed; elsewhere the workcell's own node
`robot_model` publishes the same topics. Without ROS: `./workcell view`.
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from mimedi_nodes.modules.transfer.description import robot_description

SHARE = Path(__file__).resolve().parents[1]
REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static"), ("/clock", "clock")]

WHEN = ["auto", "true", "false"]
ARGUMENTS = (
    ("namespace", "", "namespace of this workcell", None),
    ("prefix", "", "goes before every frame's name", None),
    ("cassettes", "hatch", "docks at which a cassette stands, with spaces between", None),
    ("hardware", "none", "gazebo: also starts Gazebo (ros_gz_sim) with sim/gazebo's world", ["none", "gazebo"]),
    ("rviz", "auto", "start RViz: auto does where it is installed", WHEN),
    ("gui", "auto", "sliders for the joints: auto where joint_state_publisher_gui is installed", WHEN),
)


def generate_launch_description():
    """Return the declared arguments and what starts the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        if choices
        else DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text, choices in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context):
    """Return what shows the model on this host."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    namespace = given["namespace"] or None
    how = {"namespace": namespace, "remappings": REMAPPINGS, "output": "both"}
    if installed("robot_state_publisher"):
        urdf = robot_description(given["cassettes"].split(), given["prefix"])
        nodes = [Node(package="robot_state_publisher", executable="robot_state_publisher",
                      parameters=[{"robot_description": urdf}], **how)]  # fmt: skip
    else:
        model = {"prefix": given["prefix"], "cassettes": given["cassettes"]}
        nodes = [Node(package="mimedi_workcell", executable="robot_model", parameters=[model], **how)]
    if wanted(given, "gui", "joint_state_publisher_gui"):
        nodes.append(Node(package="joint_state_publisher_gui", executable="joint_state_publisher_gui", **how))
    if wanted(given, "rviz", "rviz2"):
        nodes.append(Node(package="rviz2", executable="rviz2", arguments=["-f", f"{given['prefix']}workcell_base"],
                          **how))  # fmt: skip
    if given["hardware"] == "gazebo":
        if not installed("ros_gz_sim"):
            raise RuntimeError("hardware:=gazebo: ros_gz_sim is not installed; apt install ros-$ROS_DISTRO-ros-gz-sim")
        nodes.append(ExecuteProcess(cmd=["gz", "sim", "-r", str(world())], output="both"))
        nodes.append(Node(package="ros_gz_sim", executable="create",
                          arguments=["-topic", "robot_description", "-name", "workcell"], **how))  # fmt: skip
    return nodes


def installed(package):
    """Tell whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def wanted(given, argument, package):
    """Tell whether to start a viewer; raises RuntimeError when it is asked for by name and not installed."""
    if given[argument] == "true" and not installed(package):
        raise RuntimeError(f"{argument}:=true: {package} is not installed")
    return given[argument] != "false" and installed(package)


def world():
    """Return Gazebo's world file, in the source tree or installed."""
    path = SHARE / "sim" / "gazebo" / "workcell.world.sdf"
    if not path.is_file():
        raise RuntimeError(f"there is no {path}")
    return path
