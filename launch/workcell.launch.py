# SPDX-License-Identifier: Apache-2.0
"""The whole workcell: its modules, coordinator, recorder and supervisor, and in simulation the plant.

The supervisor brings the nodes up in order and takes them down in reverse. When it ends, all end.
Killed, it is started again.
"""

import math
from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from mimedi_nodes.modules.registry import known_modules, modules_of
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.modules.state_lock import lock_state

PACKAGE = "mimedi_workcell"
# The source tree, or share/mimedi_workcell of an installation: both have config/ beside launch/.
SHARE = Path(__file__).resolve().parents[1]
CONFIG = SHARE / "config"

# Absolute names are moved into the namespace, so that workcells can share a graph.
REMAPPINGS = [("/clock", "clock"), ("/diagnostics", "diagnostics")]

# Longer than the supervisor needs for taking the workcell down in order, during which the others wait for their turn.
ORDERLY_END_S = "15"
KILL_S = "5"
RESPAWN_DELAY_S = 1.0

# Held as long as this process lives: nobody else works in the state folder meanwhile.
LOCKS = []

BOOLEAN = ["true", "false"]
ARGUMENTS = (
    ("namespace", "", "namespace of this workcell; give each one its own when several share a network", None),
    (
        "hardware",
        "sim",
        "sim: the simulated plant; serial: instruments on serial ports; gazebo: sim, and the robot model in Gazebo",
        ["sim", "serial", "gazebo"],
    ),
    ("config", str(CONFIG), "folder with recipes/, products/, scenarios/ and site/", None),
    (
        "site",
        "",
        "site file: instruments, ports, vessels, keys; site/demo.yaml of config, or two_vessels.yaml (two cultures)",
        None,
    ),
    ("modules", "", "modules to start, a comma list in the order of their bring-up; by default the site's", None),
    ("elsewhere", "", "those of the modules that run on another host (part:=modules there), a comma list", None),
    (
        "part",
        "workcell",
        "workcell: coordinator, recorder, supervisor and modules; modules: modules alone, for a workcell elsewhere",
        ["workcell", "modules"],
    ),
    ("run_dir", "runs", "folder for batch records; the nodes' own state goes to .state below it", None),
    ("seed", "1", "seed of the simulated noise", None),
    ("donor", "nominal", "simulated donor: nominal, healthy, patient or weak", None),
    ("kit", "car_t_cd19", "materials in the simulated workcell at the start: those of a product", None),
    ("scenario", "nominal", "simulated scenario: name of a file in scenarios/ of config, or FILE.yaml", None),
    ("speed", "max", "simulated time per wall time: max, or a factor such as 1 or 3600", None),
    ("operator", "ask", "who answers questions: ask (a person), or scripted:FILE", None),
    ("on_hold", "wait", "what a hold does: wait for a restart, or end the batch as held", ["wait", "end"]),
    ("record", "true", "record the topics of each batch to MCAP", BOOLEAN),
    ("frames", "false", "publish robot description and frames of the robot model too (view.launch.py)", BOOLEAN),
    ("log_level", "info", "least severe messages that are logged", ["debug", "info", "warn", "error", "fatal"]),
    ("respawn", "true", "start modules, coordinator, recorder and supervisor again when their process dies", BOOLEAN),
)


def generate_launch_description():
    """Return the declared arguments and what starts the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        if choices
        else DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description, choices in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_nodes)])


def start_nodes(context):
    """Check the arguments and return the nodes."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    simulated = given["hardware"] in ("sim", "gazebo")
    config = existing_folder("config", given["config"])
    site = existing_file("site", given["site"] or str(config / "site" / "demo.yaml"))
    modules = chosen_modules(given["modules"] or ",".join(modules_of(load_site(Path(site)))))
    elsewhere = chosen_modules(given["elsewhere"]) if given["elsewhere"] else []
    if unknown := [name for name in elsewhere if name not in modules]:
        raise RuntimeError(f"elsewhere:={','.join(unknown)}: not among this workcell's modules {', '.join(modules)}")
    if given["part"] == "modules" and simulated:
        raise RuntimeError("part:=modules: only with hardware:=serial; a plant's lines end on its own host")
    run_dir = Path(given["run_dir"]).absolute()
    users_dir = str(run_dir.parent / ".workcell" / "users")
    state_dir = run_dir / ".state" / (given["namespace"].strip("/") or "workcell")
    LOCKS.append(lock_state(state_dir))
    common = {"use_sim_time": simulated}
    ports = {"port_dir": str(state_dir / "ports")} if simulated else {}
    respawn = {"respawn": given["respawn"] == "true", "respawn_delay": RESPAWN_DELAY_S}

    def node(executable, parameters, **how):
        return Node(
            package=PACKAGE,
            executable=executable,
            namespace=given["namespace"] or None,
            parameters=[{**common, **parameters}],
            remappings=REMAPPINGS,
            ros_arguments=["--log-level", given["log_level"]],
            output="both",
            sigterm_timeout=ORDERLY_END_S,
            sigkill_timeout=KILL_S,
            **how,
        )

    nodes = []
    if simulated:
        plant = {
            "site": site,
            **ports,
            "seed": whole_number("seed", given["seed"]),
            "donor": given["donor"],
            "kit": given["kit"],
            "scenario": scenario(given["scenario"], config / "scenarios"),
            "scenario_dir": str(config / "scenarios"),
            "speed": speed(given["speed"]),
            "participants": [*modules, "coordinator"],
            "use_sim_time": False,  # it owns the time
        }
        nodes.append(node("plant", plant, on_exit=Shutdown(reason="the plant has ended, and its cells with it")))
    of_module = {"site": site, "state_dir": str(state_dir), "users_dir": users_dir, **ports}
    own = [node(module, of_module, **respawn) for module in modules if module not in elsewhere]
    if given["part"] == "modules":
        return own
    recorder = {
        "runs_dir": str(run_dir),
        "state_dir": str(state_dir),
        "products_dir": str(config / "products"),
        "mcap": given["record"] == "true",
    }
    nodes.append(node("recorder", recorder, **respawn))
    nodes += own
    coordinator = {
        "site": site,
        "state_dir": str(state_dir),
        "recipes_dir": str(config / "recipes"),
        "users_dir": users_dir,
        "operator": operator(given["operator"]),
        "on_hold": given["on_hold"],
    }
    nodes.append(node("coordinator", coordinator, **respawn))
    if given["hardware"] == "gazebo" or given["frames"] == "true":
        view = PythonLaunchDescriptionSource(str(SHARE / "launch" / "view.launch.py"))
        # The joints are told by the transfer node: no sliders beside it.
        arguments = {"namespace": given["namespace"], "rviz": "false", "gui": "false", "cassettes": ""}
        arguments["hardware"] = "gazebo" if given["hardware"] == "gazebo" else "none"
        nodes.append(IncludeLaunchDescription(view, launch_arguments=arguments.items()))
    supervisor = {"managed_nodes": ["recorder", *modules, "coordinator"], "state_dir": str(state_dir)}
    supervisor["users_dir"] = users_dir

    def supervisor_ended(event, context):
        """Killed, it is started again and takes over the nodes, which went on; ended by itself, it ends all."""
        if event.returncode < 0 and given["respawn"] == "true":
            return None
        return Shutdown(reason="the supervisor has ended")

    nodes.append(node("supervisor", supervisor, on_exit=supervisor_ended, **respawn))
    return nodes


def chosen_modules(text):
    """Return the modules of a comma list; raises RuntimeError naming those that do not exist."""
    modules = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in modules if name not in known_modules()]
    if unknown or not modules or len(set(modules)) != len(modules):
        raise RuntimeError(f"modules {text!r}: allowed: each once of {', '.join(known_modules())}")
    return modules


def existing_folder(argument, text):
    """Return the absolute path of a folder; raises RuntimeError when it is not there."""
    path = Path(text).absolute()
    if not path.is_dir():
        raise RuntimeError(f"{argument}: there is no folder {path}")
    return path


def existing_file(argument, text):
    """Return the absolute path of a file; raises RuntimeError when it is not there."""
    path = Path(text).absolute()
    if not path.is_file():
        raise RuntimeError(f"{argument}: there is no file {path}")
    return str(path)


def operator(text):
    """Return who answers questions, a script by its absolute path; raises RuntimeError saying what is allowed."""
    if text == "ask":
        return text
    kind, _, path = text.partition(":")
    if kind != "scripted" or not path:
        raise RuntimeError(f"operator:={text!r}: allowed: ask, scripted:FILE")
    return f"scripted:{existing_file('operator', path)}"


def scenario(text, folder):
    """Return a scenario's name or file; raises RuntimeError naming those that there are."""
    if not (folder / f"{text}.yaml").is_file() and not (text.endswith(".yaml") and Path(text).is_file()):
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise RuntimeError(f"scenario:={text!r}: allowed: {known}, or a file, FILE.yaml")
    return text


def speed(text):
    """Return how fast simulated time passes; raises RuntimeError saying what is allowed."""
    try:
        allowed = text == "max" or 0.0 < float(text) < math.inf
    except ValueError:
        allowed = False
    if not allowed:
        raise RuntimeError(f"speed:={text!r}: allowed: max, or a factor above 0 such as 1 or 3600")
    return text


def whole_number(argument, text):
    """Return a whole number, 0 or more; raises RuntimeError saying so."""
    if not text.isdecimal():
        raise RuntimeError(f"{argument}:={text!r}: allowed: a whole number, 0 or more")
    return int(text)
