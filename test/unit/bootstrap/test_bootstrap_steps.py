# SPDX-License-Identifier: Apache-2.0
"""Steps are done once, again when their key changes, and never counted when they failed."""

import io
import json
import sys
import threading

import pytest

from standalone.bootstrap.errors import SetupError
from standalone.bootstrap.layout import Layout
from standalone.bootstrap.steps import Runner, Step


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


class Machine:
    """Two steps on a folder; counts how often each ran."""

    def __init__(self, layout):
        self.layout = layout
        self.runs = []
        self.keys = {"first": "a", "second": "b"}
        self.fail = None

    def step(self, name):
        product = self.layout.root / f"{name}.out"

        def run(runner):
            self.runs.append(name)
            if self.fail == name:
                raise SetupError("broken")
            product.write_text("made")

        return Step(name, f"the {name} step", self.keys[name], product, run)

    def plan(self):
        return [self.step("first"), self.step("second")]

    def ensure(self):
        screen = io.StringIO()
        Runner(self.layout, screen).carry_out(self.plan)
        return screen.getvalue()


def test_a_second_time_nothing_runs(layout):
    machine = Machine(layout)
    shown = machine.ensure()
    assert machine.runs == ["first", "second"]
    assert "[1/2] the first step" in shown
    assert " s\n" in shown
    machine.ensure()
    assert machine.runs == ["first", "second"]
    assert Runner(layout).pending(machine.plan()) == []


def test_a_changed_key_runs_that_step_alone(layout):
    machine = Machine(layout)
    machine.ensure()
    machine.keys["second"] = "c"
    machine.ensure()
    assert machine.runs == ["first", "second", "second"]


def test_a_deleted_product_is_made_again(layout):
    machine = Machine(layout)
    machine.ensure()
    (layout.root / "first.out").unlink()
    machine.ensure()
    assert machine.runs == ["first", "second", "first"]


def test_a_failed_step_is_tried_again_and_later_ones_wait(layout):
    machine = Machine(layout)
    machine.fail = "first"
    with pytest.raises(SetupError, match="broken"):
        machine.ensure()
    assert machine.runs == ["first"]
    history = json.loads((layout.state / "setup.json").read_text())["steps"]
    assert [(entry["step"], entry["status"]) for entry in history] == [("first", "failed")]
    machine.fail = None
    machine.ensure()
    assert machine.runs == ["first", "first", "second"]


def test_a_failure_after_a_success_takes_the_stamp_away(layout):
    machine = Machine(layout)
    machine.ensure()
    machine.keys["first"], machine.fail = "new", "first"
    with pytest.raises(SetupError):
        machine.ensure()
    machine.keys["first"], machine.fail = "a", None  # the old key again: what it stood for may be half gone
    machine.ensure()
    assert machine.runs == ["first", "second", "first", "first"]


def test_a_step_that_makes_nothing_is_an_error(layout):
    def plan():
        return [Step("idle", "idle", "k", layout.root / "never", lambda runner: None)]

    with pytest.raises(SetupError, match="without making"):
        Runner(layout, io.StringIO()).carry_out(plan)


def test_a_key_that_the_step_itself_changes_does_not_run_it_for_ever(layout):
    made = layout.root / "made"
    runs = []

    def run(runner):
        runs.append(1)
        made.write_text("x")

    def plan():
        return [Step("venv", "venv", made.read_text() if made.exists() else "none", made, run, makes_key=True)]

    Runner(layout, io.StringIO()).carry_out(plan)
    Runner(layout, io.StringIO()).carry_out(plan)
    assert len(runs) == 1


def test_what_somebody_changes_while_a_step_runs_is_not_taken_for_done(layout):
    source = layout.root / "source"
    source.write_text("first")
    built = []

    def run(runner):
        built.append(source.read_text())
        source.write_text("second")  # an editor saves while the compiler is at work

    def plan():
        return [Step("build", "build", source.read_text(), source, run)]

    Runner(layout, io.StringIO()).carry_out(plan)
    assert built == ["first", "second"]


def test_a_failing_command_shows_its_last_lines_and_where_the_rest_is(layout):
    command = [sys.executable, "-c", "print('early'); print('\\n'.join(map(str, range(40)))); raise SystemExit(3)"]

    def plan():
        return [Step("cmd", "a command", "k", layout.root, lambda runner: runner.command(command))]

    with pytest.raises(SetupError) as failure:
        Runner(layout, io.StringIO()).carry_out(plan)
    text = str(failure.value)
    assert "status 3" in text
    assert "39" in text
    assert "early" not in text
    assert str(layout.setup_log) in text
    assert "early" in layout.setup_log.read_text()


def test_two_set_ups_of_one_clone_take_turns(layout):
    began, go_on = threading.Event(), threading.Event()
    machine = Machine(layout)
    slow = machine.step("first")

    def run(runner):
        began.set()
        assert go_on.wait(10)
        slow.run(runner)

    def plan():
        return [Step(slow.name, slow.title, slow.key, slow.present, run)]

    first = threading.Thread(target=lambda: Runner(layout, io.StringIO()).carry_out(plan))
    first.start()
    assert began.wait(10)
    screen = io.StringIO()
    second = threading.Thread(target=lambda: Runner(layout, screen).carry_out(plan))
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert not first.is_alive()
    assert not second.is_alive()
    assert machine.runs == ["first"]
