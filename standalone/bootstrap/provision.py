# SPDX-License-Identifier: Apache-2.0
"""The steps that bring a fresh clone up, on the wheels or on a sourced ROS 2 distribution."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from . import colcon, environment, keys, tools, wheels
from .errors import SetupError
from .host import Distribution, choose_interpreter
from .layout import INTERFACES, LACKING_INTERFACES, PACKAGE, Layout
from .steps import Runner, Step


class Provisioner:
    """Knows the steps of this clone on this machine, and does those that are not done."""

    def __init__(self, layout: Layout, distribution: Distribution | None, env: Mapping[str, str]) -> None:
        self._layout = layout
        self._distribution = distribution
        self._env = env

    def ensure(self, *, overlay: bool = True) -> bool:
        """Do what is not done; returns whether there was anything to do.

        Args:
            overlay: also build the messages and install the package; commands without ROS need neither.

        Raises:
            SetupError: something is missing or failed; the text says what to do.
        """
        runner = Runner(self._layout)
        if not runner.pending(self.plan(overlay)):
            return False
        runner.carry_out(lambda: self.plan(overlay))
        return True

    def plan(self, overlay: bool) -> Sequence[Step]:
        """The steps of this machine, with the keys that hold now."""
        python = self._distribution_steps() if self._distribution else self._wheel_steps()
        return [*python, *(self._overlay_steps() if overlay else []), self._rehearsal(python[-1])]

    def _rehearsal(self, ground: Step) -> Step:
        layout = self._layout
        made_from = keys.of_files(layout.root, keys.rehearsed_files(layout))
        return Step("rehearsal", "first batch without ROS", keys.digest(ground.key, made_from), layout.state,
                    self._rehearse)  # fmt: skip

    def _rehearse(self, runner: Runner) -> None:
        """Fill the caches before anybody waits for them: compiled sources, the vision kernel, the gantry's ways.

        Nothing stands on it: a batch that cannot run says so itself to whoever orders it.
        """
        python = self._distribution.python if self._distribution else str(self._layout.venv_python)
        env = environment.compute(self._layout, self._distribution, self._env)
        try:
            runner.command(
                [python, "-m", "mimedi_nodes.commands", "simulate", "car_t_cd19", "--json", os.devnull], env=env
            )
        except SetupError as error:
            runner.note(f"nothing is cached yet: {error}")

    # --- the plain machine -----------------------------------------------------------------------------

    def _wheel_steps(self) -> list[Step]:
        layout = self._layout
        lock = layout.lock_file.read_bytes()
        venv_key = keys.digest(str(layout.root), self._venv_identity())
        installed_key = keys.digest(venv_key, lock)
        mended_key = keys.digest(installed_key, Path(wheels.__file__).read_bytes())
        tools_key = keys.digest(venv_key, tools.key(layout))
        share = layout.venv / "share"
        return [
            Step("venv", "virtual environment", venv_key, layout.venv_python, self._make_venv, makes_key=True),
            Step("install", "ROS 2 Jazzy wheels and libraries", installed_key, share / "rclpy", self._install),
            Step("mend", "CMake paths of the wheels", mended_key, share / "rclpy", self._mend),
            Step("tools", "ros2 and launch_test", tools_key, layout.venv / "bin", self._make_tools),
        ]

    def _venv_identity(self) -> str:
        """What the existing venv was made from, or the interpreter chosen for a new one."""
        try:
            return (self._layout.venv / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            return "no virtual environment yet"

    def _make_venv(self, runner: Runner) -> None:
        interpreter = choose_interpreter(self._env)
        runner.note(f"interpreter: {interpreter.path} {interpreter.version}")
        if self._layout.venv.exists():
            shutil.rmtree(self._layout.venv)
        runner.command([interpreter.path, "-m", "venv", str(self._layout.venv)])
        # The command starts faster when it need not look for an interpreter.
        (self._layout.state / "python").write_text(interpreter.path + "\n", encoding="utf-8")

    def _install(self, runner: Runner) -> None:
        runner.command(
            [str(self._layout.venv_python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
             "--progress-bar", "off", "-r", str(self._layout.lock_file)],
            env=self._venv_environment(),
        )  # fmt: skip

    def _mend(self, runner: Runner) -> None:
        question = (
            "import json, numpy, sysconfig;"
            "print(json.dumps([sysconfig.get_path('include'), sysconfig.get_path('purelib'), numpy.get_include()]))"
        )
        answer = subprocess.run(
            [str(self._layout.venv_python), "-c", question],
            env=self._venv_environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        include, purelib, numpy_include = (Path(text) for text in json.loads(answer.stdout))
        share = self._layout.venv / "share"
        changed = wheels.mend(share, self._layout.venv, purelib, include, numpy_include)
        runner.note(f"mended {changed} files below {share}")

    def _make_tools(self, runner: Runner) -> None:
        for name in tools.write(self._layout):
            runner.note(f"wrote {name}")

    def _venv_environment(self) -> dict[str, str]:
        return environment.compute(self._layout, None, self._env)

    # --- a ROS 2 distribution ---------------------------------------------------------------------------

    def _distribution_steps(self) -> list[Step]:
        assert self._distribution is not None
        python = self._distribution.python
        key = keys.digest(self._distribution.name, os.path.realpath(python), tools.REQUIRED_ON_ROS_HOSTS)
        return [Step("host", f"ROS 2 {self._distribution.name}", key, Path(python), self._check_distribution)]

    def _check_distribution(self, runner: Runner) -> None:
        assert self._distribution is not None
        tools.check_ros_host(self._distribution, self._env)
        runner.note(f"distribution: {self._distribution}")

    # --- both -------------------------------------------------------------------------------------------

    def _overlay_steps(self) -> list[Step]:
        layout = self._layout
        base = self._base_key()
        return [
            Step("base", "place of the build", base, layout.state, self._forget_other_builds),
            *(
                Step("interfaces" if package == INTERFACES else package, f"messages ({package})",
                     keys.interfaces_key(layout, base, package), colcon.share_folder(layout, package),
                     partial(self._build, package))
                for package in (INTERFACES, *self._lacking_interfaces())
            ),
            Step("package", f"package ({PACKAGE})", keys.package_key(layout, base),
                 colcon.share_folder(layout, PACKAGE), partial(self._build, PACKAGE)),
        ]  # fmt: skip

    def _lacking_interfaces(self) -> list[str]:
        """The interface packages to build because neither a distribution nor the wheels have them."""
        if self._distribution:
            return []
        return [name for name in LACKING_INTERFACES if not (self._layout.venv / "share" / name).is_dir()]

    def _base_key(self) -> str:
        """What a build stands on: the place, the interpreter, and the wheels or the distribution."""
        if self._distribution:
            ground = [self._distribution.name, os.path.realpath(self._distribution.python)]
        else:
            ground = [self._venv_identity(), self._layout.lock_file.read_text(encoding="utf-8")]
        return keys.digest(str(self._layout.root), *ground)

    def _forget_other_builds(self, runner: Runner) -> None:
        """Remove what we built with another interpreter, other wheels or in another place.

        What somebody built by hand is left to colcon, which can tell whether it fits.
        """
        record = self._layout.state / "built_on"
        base = self._base_key()
        if record.is_file() and record.read_text(encoding="ascii") != base:
            for folder in (self._layout.build, self._layout.install):
                if folder.exists():
                    runner.note(f"removing {folder}: it was built on another base")
                    shutil.rmtree(folder)
        record.write_text(base, encoding="ascii")

    def _build(self, package: str, runner: Runner) -> None:
        colcon.build(runner, self._layout, self._distribution, self._env, package)

