# SPDX-License-Identifier: Apache-2.0
"""Help that teaches by example, for sub-commands too: each shows those examples of its command that call it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator


def teach(parser: argparse.ArgumentParser) -> None:
    """Give every sub-command the examples of its command that call it, and the lines on the exit status."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        about = {choice.dest: choice.help for choice in action._choices_actions}
        for name, part in action.choices.items():
            examples = _examples(parser.epilog or "", part.prog)
            part.epilog = "\n".join(("examples:", *examples, "", *_exit_lines(parser.epilog or "")))
            part.formatter_class = argparse.RawDescriptionHelpFormatter
            if part.description is None and about.get(name):
                part.description = _sentence(str(about[name]))


def _examples(epilog: str, prog: str) -> Iterator[str]:
    """Yield the examples of one sub-command, each with the lines of words that follow it."""
    ours = False
    for line in epilog.splitlines():
        if not line.startswith("  "):
            ours = False
        elif line.lstrip().startswith("./"):
            ours = f"{line.lstrip()} ".startswith(f"./{prog} ")
        if ours:
            yield line


def _exit_lines(epilog: str) -> Iterator[str]:
    ours = False
    for line in epilog.splitlines():
        ours = ours or line.lower().startswith("exit status")
        if ours:
            yield line


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
