# SPDX-License-Identifier: Apache-2.0
"""`workcell completion SHELL`: completion of commands, options and names with Tab, by argcomplete."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import argcomplete

from .names import BOOTSTRAP, COMMANDS, MODULE_OF

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
examples:
  . <(./workcell completion bash)                                  this shell only
  ./workcell completion bash >> ~/.bash_completion                 for good
  ./workcell completion zsh > ~/.zfunc/_workcell                   with ~/.zfunc in fpath
  ./workcell completion fish > ~/.config/fish/completions/workcell.fish

exit status: 0
"""


def main(argv: Sequence[str]) -> int:
    """Print the code that a shell wants; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell completion",
        description="Prints what a shell has to read so that Tab completes ./workcell's commands, options, recipes and "
        "batches.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    options = parser.parse_args(list(argv))
    names = ["workcell"] if options.shell == "fish" else ["workcell", "./workcell"]
    print(argcomplete.shellcode(names, shell=options.shell))
    return 0


def complete() -> int:
    """Answer the shell, which calls the program with `_ARGCOMPLETE` set (argcomplete's protocol)."""
    words = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))].split()
    line = os.environ.get("COMP_LINE", "")
    chosen = words[1] if len(words) > 2 or (len(words) == 2 and line.endswith(" ")) else ""
    if chosen not in COMMANDS:
        _answer(_top())
        return 0
    os.environ["_ARGCOMPLETE"] = "2"  # the command's own parser begins at the second word
    name = chosen.replace("-", "_")
    with _parsers_answer():
        if name == "dashboard":
            importlib.import_module("mimedi_nodes.dashboard.options").parse([])
        else:
            module = importlib.import_module(f"mimedi_nodes.commands.{MODULE_OF.get(name, name)}")
            module.main([], name) if name in MODULE_OF else module.main([])
    return 0


def _top() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workcell")
    parser.add_argument("command", choices=sorted((*COMMANDS, *BOOTSTRAP)))
    return parser


@contextmanager
def _parsers_answer() -> Iterator[None]:
    """Within this the first parser that is asked to parse answers the shell instead, and ends the process.

    The commands keep their parsers to themselves; parsing is the one thing that all do.
    """
    original: Callable[..., Any] = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *_: object, **__: object) -> argparse.Namespace:
        _answer(self)
        raise SystemExit(0)

    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]


def _answer(parser: argparse.ArgumentParser) -> None:
    for action in _actions(parser):
        names = {"recipe": _recipes, "batch": _batches, "scenario": _scenarios}.get(action.dest)
        if names is not None:
            action.completer = names  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _recipes(**_: object) -> list[str]:
    return _stems("recipes")


def _scenarios(**_: object) -> list[str]:
    return _stems("scenarios")


def _stems(folder: str) -> list[str]:
    from ..modules.registry import config_folder

    return sorted(path.stem for path in (config_folder() / folder).glob("*.yaml"))


def _batches(prefix: str = "", **_: object) -> list[str]:
    """Batches below runs/, by name, or by path where one begins to type it."""
    runs = sorted(path.parent for path in Path("runs").glob("[!.]*/record.sqlite"))
    return [str(run) if prefix.startswith("runs") else run.name for run in runs]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
