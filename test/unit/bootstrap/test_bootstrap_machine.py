# SPDX-License-Identifier: Apache-2.0
"""Interpreters, missing parts, mended wheels, keys and pins."""

import re
import sys
from pathlib import Path

import pytest

from standalone.bootstrap import host, keys, lock, tools, wheels
from standalone.bootstrap.errors import SetupError
from standalone.bootstrap.layout import Layout

ROOT = Path(__file__).resolve().parents[3]


def fake_python(folder, name, answer):
    """An executable that answers every question alike."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {answer}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_real_python(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")


def test_a_complete_interpreter_is_preferred_to_an_earlier_incomplete_one(tmp_path, no_real_python):
    fake_python(tmp_path, "python3", "cpython 3 11 2 /a/python3 venv dev")
    fake_python(tmp_path, "python3.12", "cpython 3 12 1 /b/python3.12")
    fake_python(tmp_path, "g++", "")
    assert host.choose_interpreter({"PATH": str(tmp_path)}) == host.Interpreter("/b/python3.12", (3, 12, 1), ())


def test_what_is_missing_is_named_with_the_line_that_installs_it(tmp_path, no_real_python):
    fake_python(tmp_path, "python3", "cpython 3 11 2 /a/python3 venv dev")
    with pytest.raises(SetupError) as refusal:
        host.choose_interpreter({"PATH": str(tmp_path)})
    assert "sudo apt install python3.11-venv python3.11-dev g++" in str(refusal.value)


@pytest.mark.parametrize("answer", ["cpython 3 10 13 /a/python3", "cpython 3 14 0 /a/python3", "pypy 3 11 0 /a/pypy3"])
def test_other_pythons_do_not_count(tmp_path, no_real_python, answer):
    fake_python(tmp_path, "python3", answer)
    with pytest.raises(SetupError, match=r"no CPython 3\.11, 3\.12 or 3\.13"):
        host.choose_interpreter({"PATH": str(tmp_path)})


def test_the_wrong_machine_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    with pytest.raises(SetupError, match="x86-64 Linux only") as refusal:
        host.check_machine()
    assert "docs/ros_host.md" in str(refusal.value)


def test_mending_replaces_the_build_machines_folders_once(tmp_path):
    export = tmp_path / "share/pkg/cmake/Export.cmake"
    export.parent.mkdir(parents=True)
    export.write_text(
        'INCLUDES "/opt/python/cp312-cp312/include/python3.12;'
        '/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include"\n'
        'LIB "/opt/python/cp312-cp312/lib/python3.12/site-packages/x.so" PREFIX "/opt/python/cp312-cp312"\n'
    )
    binary = tmp_path / "share/blob"
    binary.write_bytes(b"\0/opt/python/cp312-cp312")
    names = ("/venv", "/venv/site", r"/usr/include/python3.12\1", "/venv/site/numpy/core/include")
    places = [Path(name) for name in names]
    assert wheels.mend(tmp_path / "share", *places) == 1
    assert export.read_text() == (
        'INCLUDES "/usr/include/python3.12\\1;/venv/site/numpy/core/include"\n'
        'LIB "/venv/site/x.so" PREFIX "/venv"\n'
    )
    assert wheels.mend(tmp_path / "share", *places) == 0
    assert binary.read_bytes() == b"\0/opt/python/cp312-cp312"


@pytest.fixture
def tree(tmp_path):
    """A small clone: one message, one package, one data file."""
    for name in ("mimedi_msgs/msg/A.msg", "mimedi_msgs/package.xml", "mimedi_nodes/__init__.py", "launch/w.launch.py",
                 "setup.py", "package.xml"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content\n")
    return Layout(tmp_path)


@pytest.mark.parametrize(
    ("change", "messages", "package"),
    [
        (lambda root: (root / "mimedi_msgs/msg/A.msg").write_text("other\n"), True, False),
        (lambda root: (root / "mimedi_msgs/msg/B.msg").write_text("new\n"), True, False),
        (lambda root: (root / "mimedi_nodes/__init__.py").write_text("edited\n"), False, False),
        (lambda root: (root / "launch/w.launch.py").write_text("edited\n"), False, False),
        (lambda root: (root / "launch/v.launch.py").write_text("new\n"), False, True),
        (lambda root: (root / "setup.py").write_text("edited\n"), False, True),
    ],
    ids=["field changed", "message added", "code edited", "launch file edited", "launch file added", "setup edited"],
)
def test_what_is_built_again_after_a_change(tree, change, messages, package):
    before = keys.interfaces_key(tree, "base"), keys.package_key(tree, "base")
    change(tree.root)
    after = keys.interfaces_key(tree, "base"), keys.package_key(tree, "base")
    assert (before[0] != after[0], before[1] != after[1]) == (messages, package)
    assert keys.interfaces_key(tree, "other base") != after[0]


def test_digest_keeps_its_parts_apart():
    assert keys.digest("ab", "c") != keys.digest("a", "bc")


def test_every_direct_requirement_is_pinned_and_has_a_reason():
    layout = Layout(ROOT)
    pinned = dict(
        line.split("==") for line in layout.lock_file.read_text().splitlines() if line and not line.startswith("#")
    )
    lines = [line for line in layout.requirements.read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        name = re.split(r"[<=>\s]", line, maxsplit=1)[0].lower()
        assert name in pinned, f"{name} is not in requirements.lock: ./workcell lock"
    for name, version in pinned.items():
        assert re.fullmatch(r"[0-9][0-9a-z.+]*", version), f"{name}=={version} is no exact version"


def test_pins_come_from_the_resolvers_report():
    report = '{"install": [{"metadata": {"name": "B", "version": "2"}}, {"metadata": {"name": "a", "version": "1"}}]}'
    assert lock.pins_of_report(report) == ["a==1", "b==2"]


def test_a_real_ros2_command_is_left_alone(tmp_path):
    layout = Layout(tmp_path)
    (layout.venv / "bin").mkdir(parents=True)
    (layout.venv / "bin" / "ros2").write_text("#!/usr/bin/python3\nimport ros2cli\n")
    assert tools.write(layout) == ["launch_test"]
    assert "launch_testing.launch_test" in (layout.venv / "bin" / "launch_test").read_text()
    assert tools.write(layout) == ["launch_test"], "ours is renewed"
