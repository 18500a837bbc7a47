# SPDX-License-Identifier: Apache-2.0
"""The output of a command."""

import shlex
import subprocess
from typing import TYPE_CHECKING

from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution, SubstitutionFailure
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .lookups import describe_all

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

ON_STDERR = ('fail', 'ignore', 'warn', 'capture')


class Command(Substitution):
    """What a command prints on its standard output."""

    def __init__(self, command: SomeSubstitutionsType, *, on_stderr: SomeSubstitutionsType = 'fail') -> None:
        """Take the command line, and what to do when it writes on its standard error."""
        self._command = normalize_to_list_of_substitutions(command)
        self._on_stderr = normalize_to_list_of_substitutions(on_stderr)

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'Command({describe_all(self._command)})'

    def perform(self, context: 'LaunchContext') -> str:
        """Run the command and return its output.

        Raises:
            SubstitutionFailure: if it cannot run, fails, or writes on stderr where that is a failure.
        """
        text = perform_substitutions(context, self._command)
        on_stderr = perform_substitutions(context, self._on_stderr)
        if on_stderr not in ON_STDERR:
            raise SubstitutionFailure(f"on_stderr must be one of {list(ON_STDERR)}, got '{on_stderr}'")
        try:
            done = subprocess.run(shlex.split(text), capture_output=True, text=True, check=False)
        except OSError as error:
            raise SubstitutionFailure(f"executing command '{text}' failed: {error}") from error
        if done.returncode != 0:
            raise SubstitutionFailure(
                f'executed command failed. Command: {text}\n'
                f'exit code {done.returncode}, captured stderr output: {done.stderr}'
            )
        if done.stderr and on_stderr == 'fail':
            raise SubstitutionFailure(
                f'executed command showed stderr output. Command: {text}\nCaptured stderr output:\n{done.stderr}'
            )
        if done.stderr and on_stderr == 'warn':
            get_logger('launch.substitutions').warning(f"command '{text}' wrote on stderr:\n{done.stderr}")
        return done.stdout + done.stderr if on_stderr == 'capture' else done.stdout
