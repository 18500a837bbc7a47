# SPDX-License-Identifier: Apache-2.0
"""Running a command line."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform, perform_substitutions
from .command_line import resolve_environment, with_prefix
from .execute_local import ExecuteLocal

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..substitution import Substitution

SomeEnvironment = Mapping[SomeSubstitutionsType, SomeSubstitutionsType]


class ExecuteProcess(ExecuteLocal):
    """Runs a command on this machine."""

    def __init__(
        self,
        *,
        cmd: Iterable[Union[SomeSubstitutionsType, 'Substitution']],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: SomeEnvironment | None = None,
        additional_env: SomeEnvironment | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what to run; for how it is run see ExecuteLocal.

        Args:
            cmd: program and arguments, each a text or a list of substitutions.
            prefix: words before the command, such as 'gdb --args'.
            name: of the process, before the '-N'; None: the program's file name.
            cwd: working directory.
            env: the whole environment; None: the launcher's.
            additional_env: variables on top of it.
        """
        super().__init__(**kwargs)
        self._cmd = [normalize_to_list_of_substitutions(part) for part in cmd]
        self._prefix = None if prefix is None else normalize_to_list_of_substitutions(prefix)
        self._process_name = None if name is None else normalize_to_list_of_substitutions(name)
        self._cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self._env = None if env is None else list(env.items())
        self._additional_env = None if additional_env is None else list(additional_env.items())

    @property
    def cmd(self) -> list[list['Substitution']]:
        """Return the command as substitutions."""
        return self._cmd

    def describe(self) -> str:
        """Return the command."""
        words = [' + '.join(part.describe() for part in word) for word in self._cmd]
        return f'{type(self).__name__}(cmd=[{", ".join(words)}])'

    def resolve_command(self, context: 'LaunchContext') -> tuple[str, list[str], str | None, dict[str, str]]:
        """Return (base name, command, working directory, environment) for this context."""
        cmd = [perform_substitutions(context, part) for part in self._cmd]
        program = os.path.basename(cmd[0].split()[0] if self.shell else cmd[0])
        name = program if self._process_name is None else perform_substitutions(context, self._process_name)
        own_prefix = None if self._prefix is None else perform_substitutions(context, self._prefix)
        cwd = None if self._cwd is None else perform(context, self._cwd)
        env = resolve_environment(context, self._env, self._additional_env)
        return name, with_prefix(context, program, own_prefix) + cmd, cwd, env
