# SPDX-License-Identifier: Apache-2.0
"""A ROS node as a process."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from launch.actions import ExecuteProcess
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform, perform_substitutions

from ..names import UNSPECIFIED_NAMESPACE, UNSPECIFIED_NODE_NAME, full_name, join_namespaces, make_absolute
from ..parameters import SomeParameters, evaluate_parameters, normalize_parameters, write_parameter_file
from ..substitutions import ExecutableInPackage
from .scope import scope_namespace, scope_parameters, scope_remaps

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

SomeRemaps = Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]]


class Node(ExecuteProcess):
    """Runs the executable of a package with the ROS arguments that name, place and parameters need."""

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: SomeParameters | None = None,
        remappings: SomeRemaps | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what to run; for how it is run see ExecuteProcess.

        Args:
            executable: file name in `<prefix>/lib/<package>/`, or, without package, a path.
            package: that the executable belongs to.
            name: of the node; None: as the program says.
            namespace: of the node; a relative one goes inside the pushed one.
            exec_name: name of the process; None: the executable's file name.
            parameters: files and dictionaries; later ones win.
            remappings: (from, to) names.
            ros_arguments: further arguments after --ros-args.
            arguments: arguments before --ros-args.
        """
        program: Any = executable
        if package is not None:
            program = ExecutableInPackage(package=package, executable=executable)
        words = [program, *(arguments or ()), '--ros-args', *(ros_arguments or ())]
        super().__init__(cmd=words, name=exec_name, **kwargs)
        self._executable = executable
        self._package = package
        self._given_name = None if name is None else normalize_to_list_of_substitutions(name)
        self._given_namespace = None if namespace is None else normalize_to_list_of_substitutions(namespace)
        self._parameters = [] if parameters is None else normalize_parameters(parameters)
        self._remappings = list(remappings or ())
        self._final_name: str | None = None
        self._final_namespace: str | None = None

    @property
    def node_package(self) -> Any:
        """Return the package."""
        return self._package

    @property
    def node_executable(self) -> Any:
        """Return the executable."""
        return self._executable

    @property
    def node_name(self) -> str:
        """Return the full name of the node.

        Raises:
            RuntimeError: before the action is executed.
        """
        if self._final_namespace is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return full_name(self._final_namespace, self._final_name or UNSPECIFIED_NODE_NAME)

    @property
    def expanded_node_name(self) -> str:
        """Return the node's name without namespace."""
        return self._final_name or UNSPECIFIED_NODE_NAME

    @property
    def expanded_node_namespace(self) -> str:
        """Return the node's namespace.

        Raises:
            RuntimeError: before the action is executed.
        """
        if self._final_namespace is None:
            raise RuntimeError("cannot access 'expanded_node_namespace' before executing action")
        return self._final_namespace

    def is_node_name_fully_specified(self) -> bool:
        """Return whether name and namespace are both known to launch."""
        return self._final_name is not None and self._final_namespace not in (None, UNSPECIFIED_NAMESPACE)

    def resolve_command(self, context: 'LaunchContext') -> tuple[str, list[str], str | None, dict[str, str]]:
        """Return (base name, command, working directory, environment) with the ROS arguments."""
        self._resolve_names(context)
        base_name, cmd, cwd, env = super().resolve_command(context)
        return base_name, [*cmd, *self._ros_arguments(context)], cwd, env

    def _resolve_names(self, context: 'LaunchContext') -> None:
        self._final_name = (
            None if self._given_name is None else perform_substitutions(context, self._given_name) or None
        )
        pushed = scope_namespace(context)
        if pushed is None and self._given_namespace is None:
            self._final_namespace = UNSPECIFIED_NAMESPACE
            return
        given = '' if self._given_namespace is None else perform_substitutions(context, self._given_namespace)
        # An empty namespace that was asked for is the root.
        self._final_namespace = make_absolute(join_namespaces(pushed or '', given))

    def _ros_arguments(self, context: 'LaunchContext') -> list[str]:
        words: list[str] = []
        if self._final_name is not None:
            words += ['-r', f'__node:={self._final_name}']
        if self._final_namespace not in (None, UNSPECIFIED_NAMESPACE):
            words += ['-r', f'__ns:={self._final_namespace}']
        for name, value in scope_parameters(context):
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix('...\n').strip()
            words += ['-p', f'{name}:={text}']
        for entry in evaluate_parameters(context, self._parameters):
            if isinstance(entry, Path):
                if not entry.is_file():
                    self._warn_missing(entry)
                words += ['--params-file', str(entry)]
            else:
                node = self.node_name if self.is_node_name_fully_specified() else '/**'
                words += ['--params-file', write_parameter_file(node, entry, context)]
        for source, target in scope_remaps(context):
            words += ['-r', f'{source}:={target}']
        for some_source, some_target in self._remappings:
            words += ['-r', f'{perform(context, some_source)}:={perform(context, some_target)}']
        return words

    @staticmethod
    def _warn_missing(path: Path) -> None:
        from launch.logging import get_logger

        get_logger('launch_ros').warning(f'Parameter file path is not a file: {os.fspath(path)}')

    def describe(self) -> str:
        """Return package and executable."""

        def text(value: Any) -> str:
            parts = normalize_to_list_of_substitutions(value)
            return ' + '.join(part.describe() for part in parts if isinstance(part, Substitution))

        package = '' if self._package is None else f'package={text(self._package)}, '
        return f'{type(self).__name__}({package}executable={text(self._executable)})'
