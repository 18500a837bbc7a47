# SPDX-License-Identifier: Apache-2.0
"""`./workcell test`: style, types, import rules, then all tests; one summary, one exit status."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .junit import Tally, read_report
from .layout import Layout

HELP = """\
./workcell test                           everything: style, types, import rules, unit, node and launch tests
./workcell test test/unit -k ledger       only pytest, with these arguments
./workcell test test/launch/test_batch.py -s

Everything ends with a table and exit status 0 (all passed) or 1. With CI=true a skipped test fails.
"""

# Without rclpy's untyped world: the packages whose types are checked.
TYPED = (
    *(f"mimedi_nodes/{room}" for room in ("process", "modules", "instruments", "vision", "records")),
    "sim/mimedi_sim",
    "standalone/bootstrap",
)
LINTED = ("mimedi_nodes", "sim", "standalone", "launch", "test", "bench", "setup.py")
_DEADLINE_S = 1200.0
_SIDE_BY_SIDE = 2
_ALONE = ("short_batch", "two_workcells")
"""Launch tests that compare records to the bit: a node that gets no processor for long counts as lost, and simulated
time then goes on at the pace of the wall."""
_NO_TESTS = 5  # pytest's exit status when it collected nothing

NOT_OURS = "no reference images in "
"""How a test says that it skips for want of the real images, which are not shipped with the project."""


@dataclass(frozen=True)
class Check:
    """One command of the suite."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None  # JUnit file that pytest writes
    quiet: bool = False  # show the output only when it failed


@dataclass
class Outcome:
    """How a check went."""

    name: str
    seconds: float
    problems: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    output: str = ""


def run(layout: Layout, env: Mapping[str, str], python: str, arguments: Sequence[str]) -> int:
    """Run the whole suite, or only pytest when there are arguments; returns the exit status.

    Args:
        layout: the clone.
        env: the environment of the project.
        python: the interpreter that has the tools.
        arguments: pytest's.
    """
    inside = _test_environment(layout, env)
    if arguments:
        own = ["-c", str(layout.root / "pyproject.toml"), "--rootdir", str(layout.root)]
        command = [*_isolated(python), python, "-m", "pytest", *_plugins(layout, env), *own, *arguments]
        return subprocess.run(command, env=inside, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="workcell_test_") as folder:
        outcomes = [
            outcome
            for stage in stages(layout, python, _plugins(layout, env), Path(folder))
            for outcome in _run_stage(stage, layout.root, inside)
        ]
    return summarize(outcomes, in_ci=_in_ci(env))


def stages(layout: Layout, python: str, plugins: Sequence[str], reports: Path) -> list[list[Check]]:
    """The suite in stages: the checks of one stage run side by side, two at a time."""
    present = [path for path in LINTED if (layout.root / path).exists()]
    unit = _pytest("unit", ["test/unit", "test/sim", "test/contract"], python, reports, ["-n", "2"])
    by_file = ["-n", "2", "--dist", "loadfile"]  # a file's tests share what they launched
    node = _pytest("node", ["test/node"], python, reports, [*plugins, *by_file])
    standalone = _pytest("standalone", ["test/standalone"], python, reports, by_file)
    launched = [
        _pytest(path.stem.removeprefix("test_"), [str(path.relative_to(layout.root))], python, reports, plugins)
        for path in sorted((layout.root / "test" / "launch").glob("test_*.py"))
    ] or [_pytest("launch", ["test/launch"], python, reports, plugins)]
    paired = [check for check in launched if check.name not in _ALONE]
    alone = [[check] for check in launched if check.name in _ALONE]
    return [
        [
            Check("ruff", (python, "-m", "ruff", "check", "--quiet", *present), quiet=True),
            Check("mypy", (python, "-m", "mypy", "--no-error-summary", *TYPED), quiet=True),
            Check("imports", (python, "-c", "from importlinter.cli import lint_imports_command as c; c()"),
                  quiet=True),
        ],
        [unit],
        [node, standalone],  # both wait most of the time
        paired,  # so does each of these: one launch leaves more than half of two cores idle
        *alone,
    ]  # fmt: skip


def _pytest(name: str, paths: list[str], python: str, reports: Path, extra: Sequence[str]) -> Check:
    report = reports / f"{name}.xml"
    command = (*_isolated(python), python, "-m", "pytest", "-q", f"--junit-xml={report}", *extra, *paths)
    return Check(name, command, report)


def _isolated(python: str) -> list[str]:
    return [python, "-m", "standalone.bootstrap.isolated"]


def _plugins(layout: Layout, env: Mapping[str, str]) -> list[str]:
    """pytest's options for launch tests where the subset stands in for the real launch_testing.

    The real one registers its plugin by itself.
    """
    on_path = str(layout.launch_subset) in env.get("PYTHONPATH", "").split(os.pathsep)
    return ["-p", "launch_testing.pytest_plugin"] if on_path else []


def _test_environment(layout: Layout, env: Mapping[str, str]) -> dict[str, str]:
    inside = dict(env)
    # Launch and rclpy keep a log folder a run, by default in the user's home.
    inside.setdefault("ROS_LOG_DIR", str(layout.state / "ros_log"))
    if not inside.get("DISPLAY"):
        inside.setdefault("QT_QPA_PLATFORM", "offscreen")
    return inside


def _run_stage(stage: Sequence[Check], root: Path, env: Mapping[str, str]) -> list[Outcome]:
    if len(stage) == 1:
        return [_run(stage[0], root, env)]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(lambda check: _run(check, root, env, alone=False), stage))


def _run(check: Check, root: Path, env: Mapping[str, str], *, alone: bool = True) -> Outcome:
    """Run a check; what runs beside others shows its output in one piece when it has ended."""
    shown = alone and not check.quiet
    if not check.quiet:
        print(f"\n=== {check.name}: {' '.join(check.command[-4:])}", flush=True)
    began = time.monotonic()
    child = subprocess.Popen(
        check.command, cwd=root, env=dict(env), stdin=subprocess.DEVNULL, text=True,
        stdout=None if shown else subprocess.PIPE, stderr=None if shown else subprocess.STDOUT,
    )  # fmt: skip
    outcome = Outcome(check.name, 0.0)
    try:
        outcome.output = child.communicate(timeout=_DEADLINE_S)[0] or ""
    except subprocess.TimeoutExpired as expired:
        outcome.output = (expired.output or b"").decode(errors="replace")
        child.terminate()
        child.wait()
        outcome.problems.append(f"not finished after {_DEADLINE_S:.0f} s")
    except BaseException:
        child.terminate()
        child.wait()
        raise
    outcome.seconds = time.monotonic() - began
    if check.report is not None and check.report.is_file():
        outcome.tally = read_report(check.report)
    if child.returncode == _NO_TESTS:
        outcome.problems.append("no tests found")
    elif child.returncode and not outcome.problems:
        outcome.problems.append(f"exit status {child.returncode}")
    if not shown and (outcome.problems or not check.quiet):
        ended = f"{'FAILED' if outcome.problems else 'ok'} after {outcome.seconds:.0f} s"
        print(f"\n=== {check.name}: {ended}\n{outcome.output.rstrip()}", flush=True)
    return outcome


def summarize(outcomes: Sequence[Outcome], *, in_ci: bool) -> int:
    """Print the table and the closing line; returns 0 when everything passed, else 1.

    A skipped test is a missing part of the machine: in CI that is a failure. Only the reference images are no part of
    the project, so that a clone by itself may lack them.
    """
    width = max(len(outcome.name) for outcome in outcomes)
    total = Tally()
    failed_checks = 0
    print("\nSummary")
    for outcome in outcomes:
        problems = list(outcome.problems)
        missing = [text for text in outcome.tally.skipped if NOT_OURS not in text]
        if in_ci and missing:
            problems.append("skipped in CI: " + "; ".join(missing))
        tally = outcome.tally
        counts = f"{tally.passed} passed, {tally.failed} failed, {len(tally.skipped)} skipped" if tally.count else ""
        print(f"  {outcome.name:<{width}}  {outcome.seconds:6.1f} s  {'ok' if not problems else 'FAILED'}  {counts}")
        for problem in problems:
            print(f"  {'':<{width}}  {problem}")
        total = total + tally
        # A check that failed without a failed test (style, types, no tests, a skip) counts as one.
        failed_checks += bool(problems) and not tally.failed
    print(f"\n{total.passed} passed, {total.failed + failed_checks} failed, {len(total.skipped)} skipped")
    return 1 if total.failed or failed_checks or any(outcome.problems for outcome in outcomes) else 0


def _in_ci(env: Mapping[str, str]) -> bool:
    return env.get("CI", "").lower() in ("1", "true", "yes")

