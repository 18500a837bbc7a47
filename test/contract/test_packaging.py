# SPDX-License-Identifier: Apache-2.0
"""What colcon, setuptools and rosdep see of the two packages."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXECUTABLES = {
    "fluidics", "acoustic_sorter", "transduction", "incubator", "incubator_2", "vision_qc", "enclosure",
    "contamination_watch", "analytics", "transfer", "camera",
    "coordinator", "supervisor", "recorder", "plant", "robot_model", "dashboard",
}  # fmt: skip


def colcon_list(folder, *arguments, defaults=None):
    """`colcon list` as {package: (path, type)}."""
    env = dict(os.environ)
    env.pop("COLCON_DEFAULTS_FILE", None)
    if defaults:
        env["COLCON_DEFAULTS_FILE"] = defaults
    answer = subprocess.run(
        [sys.executable, "-m", "colcon", "--log-base", os.devnull, "list", *arguments],
        cwd=folder, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = (line.split("\t") for line in answer.stdout.splitlines())
    return {name: (path, kind.strip("()")) for name, path, kind in rows}


@pytest.fixture(scope="module")
def setup_arguments():
    """What setup.py hands to setuptools, run as a user's build runs it."""
    code = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **arguments: print(json.dumps(arguments))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__name__': '__main__'})\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(answer.stdout.replace("true", "True").replace("false", "False"))


@pytest.mark.parametrize(
    ("arguments", "defaults"),
    [(("--base-paths", ".", "mimedi_msgs"), None), ((), "colcon_defaults.yaml")],
    ids=["base paths", "defaults file"],
)
def test_colcon_takes_both_packages_for_ros_packages(arguments, defaults):
    # A package.xml that fails validation is silently taken for plain Python and loses its build order.
    assert colcon_list(ROOT, *arguments, defaults=defaults) == {
        "mimedi_workcell": (".", "ros.ament_python"),
        "mimedi_msgs": ("mimedi_msgs", "ros.ament_cmake"),
    }


def test_inside_another_workspace_both_paths_are_needed(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "workcell").symlink_to(ROOT, target_is_directory=True)
    alone = colcon_list(tmp_path, "--base-paths", "src")
    both = colcon_list(tmp_path, "--base-paths", "src", "src/workcell/mimedi_msgs")
    assert set(alone) == {"mimedi_workcell"}, "colcon looks into packages now: simplify docs/ros_host.md"
    assert set(both) == {"mimedi_workcell", "mimedi_msgs"}


def test_messages_are_built_before_the_package():
    ordered = subprocess.run(
        [sys.executable, "-m", "colcon", "--log-base", os.devnull, "list", "--topological-order", "--names-only",
         "--base-paths", ".", "mimedi_msgs"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ordered.stdout.split() == ["mimedi_msgs", "mimedi_workcell"]


def test_every_node_has_an_executable_and_each_leads_to_a_main(setup_arguments):
    scripts = dict(entry.split(" = ") for entry in setup_arguments["entry_points"]["console_scripts"])
    assert set(scripts) == EXECUTABLES
    for name, target in scripts.items():
        module, function = target.split(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        assert path.is_file(), f"executable '{name}' leads to {path}, which does not exist"
        functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert function in functions, f"executable '{name}': {path} has no function {function}()"


def test_every_package_is_installed_and_nothing_else(setup_arguments):
    on_disk = {
        ".".join(init.parent.relative_to(base).parts)
        for base, top in ((ROOT, "mimedi_nodes"), (ROOT / "sim", "mimedi_sim"))
        for init in (base / top).rglob("__init__.py")
    }
    assert set(setup_arguments["packages"]) == on_disk
    for package in on_disk:
        assert re.match(r"(mimedi_nodes|mimedi_sim)(\.|$)", package)


def test_every_python_file_lies_in_a_package():
    # A folder without __init__.py works from the source tree and is missing once installed.
    for top in (ROOT / "mimedi_nodes", ROOT / "sim" / "mimedi_sim"):
        for path in top.rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} lacks __init__.py"


def test_every_data_file_is_installed(setup_arguments):
    placed = {file for _, files in setup_arguments["data_files"] for file in files}
    wanted = {
        str(path.relative_to(ROOT))
        for top in ("launch", "config", "urdf")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert wanted
    assert wanted <= placed
    # plugin.xml: package.xml names it to rqt.
    assert {"package.xml", "plugin.xml", "resource/mimedi_workcell"} <= placed
    for where, files in setup_arguments["data_files"]:
        for file in files:
            expected = Path("share/mimedi_workcell", file).parent
            if not file.startswith("resource/"):
                assert Path(where) == expected, f"{file} is installed to {where}"


def test_non_python_files_of_the_packages_are_installed(setup_arguments):
    tops = {"mimedi_nodes": ROOT / "mimedi_nodes", "mimedi_sim": ROOT / "sim" / "mimedi_sim"}
    for package, names in setup_arguments["package_data"].items():
        on_disk = {
            str(path.relative_to(tops[package]))
            for path in tops[package].rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
        }
        assert set(names) == on_disk


def dependencies(manifest):
    """The names in every kind of depend tag of a package.xml."""
    return {tag.text for tag in ElementTree.parse(manifest).getroot() if tag.tag.endswith("depend")}


def test_what_the_code_imports_is_declared():
    # Import name → rosdep key or ROS package; the rest is pip's and stands in docs/ros_host.md.
    keys = {
        "numpy": "python3-numpy", "scipy": "python3-scipy", "cv2": "python3-opencv", "serial": "python3-serial",
        "cryptography": "python3-cryptography", "jinja2": "python3-jinja2", "matplotlib": "python3-matplotlib",
        "rich": "python3-rich", "pyqtgraph": "python3-pyqtgraph", "markupsafe": "python3-jinja2",
    }  # fmt: skip
    declared = dependencies(ROOT / "package.xml")
    told = (ROOT / "docs" / "ros_host.md").read_text(encoding="utf-8")
    own = {"mimedi_nodes", "mimedi_sim"}
    pip_names = {"ruamel": "ruamel.yaml", "mcap_ros2": "mcap-ros2-support", "foxglove": "foxglove-sdk"}
    by_hand = {"PyQt5": "python_qt_binding", "python_qt_binding": "python_qt_binding"}
    for path in [*(ROOT / "mimedi_nodes").rglob("*.py"), *(ROOT / "sim").rglob("*.py")]:
        for name in imported(path) - own - set(sys.stdlib_module_names):
            key = keys.get(name) or by_hand.get(name) or name
            pip_name = pip_names.get(name, name)
            assert key in declared or f"`{pip_name}`" in told, (
                f"{path.relative_to(ROOT)} imports {name}: declare it in package.xml, or in docs/ros_host.md"
            )


def imported(path):
    """Top-level names that a file imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_interfaces_of_other_packages_are_declared_for_the_messages():
    used = set()
    for path in (ROOT / "mimedi_msgs").glob("*/*.*"):
        if path.suffix in (".msg", ".srv", ".action"):
            used |= set(re.findall(r"^([a-z_0-9]+)/[A-Z]\w*", path.read_text(encoding="utf-8"), re.MULTILINE))
    used -= {"mimedi_msgs"}
    assert used
    assert used <= dependencies(ROOT / "mimedi_msgs" / "package.xml")
    cmake = (ROOT / "mimedi_msgs" / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = re.search(r"set\(dependencies(.*?)\)", cmake, re.DOTALL).group(1).split()
    assert used <= set(listed)


@pytest.mark.ros
def test_installed_scripts_run_on_this_python():
    prefix = installed_prefix()
    scripts = sorted((prefix / "lib" / "mimedi_workcell").iterdir())
    assert {path.name for path in scripts} == EXECUTABLES
    for path in scripts:
        interpreter = path.read_text().splitlines()[0].removeprefix("#!")
        assert Path(interpreter).exists(), f"{path} asks for {interpreter}"
        if not os.environ.get("ROS_DISTRO"):
            assert interpreter == sys.executable


@pytest.mark.ros
def test_the_overlay_is_found_and_is_no_namespace_of_the_clone():
    # `import mimedi_msgs` works from the clone's root even without an overlay.
    assert importlib.util.find_spec("mimedi_msgs.msg") is not None
    assert (installed_prefix() / "share" / "mimedi_msgs" / "msg").is_dir()


def installed_prefix():
    """The prefix of the installed mimedi_workcell."""
    from ament_index_python.packages import get_package_prefix

    return Path(get_package_prefix("mimedi_workcell"))
