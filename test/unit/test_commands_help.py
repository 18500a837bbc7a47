# SPDX-License-Identifier: Apache-2.0
"""Every command and sub-command teaches by examples that it would take, says what it exits with, and can talk JSON."""

import argparse
import importlib
import re
import shlex

import pytest

from mimedi_nodes.commands.names import COMMANDS, MODULE_OF

NO_JSON = {"dashboard", "web", "completion"}
"""Windows, servers, and what a shell reads."""


class Parsed(Exception):
    """Carries the parser that a command would parse with, and what it adds to what is given."""


def parser_of(command):
    """The parser that a command makes, and the arguments that it adds by itself; nothing is carried out."""

    def parse_args(self, arguments, *_, **__):
        raise Parsed(self, arguments)

    name = command.replace("-", "_")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        try:
            if name == "dashboard":
                importlib.import_module("mimedi_nodes.dashboard.options").parse([])
            else:
                module = importlib.import_module(f"mimedi_nodes.commands.{MODULE_OF.get(name, name)}")
                module.main([], name) if name in MODULE_OF else module.main([])
        except Parsed as found:
            return found.args
    raise AssertionError(f"{command} has parsed nothing")


def walk(parser):
    """A parser and those of its sub-commands, each with whether it has some."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    yield parser, bool(inner)
    for action in inner:
        for part in action.choices.values():
            yield from walk(part)


def examples(text):
    """The calls in a help text, without the words beside them and what a shell does with their output."""
    for line in re.findall(r"^\s+(?:[A-Z_]+=\S+ )?\./workcell (.*)$", text, flags=re.MULTILINE):
        yield re.split(r"\s{2,}|\s[>|&]", line)[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_examples_that_the_command_takes(command, capsys):
    whole, added = parser_of(command)
    for parser, has_acts in walk(whole):
        text = parser.format_help()
        assert "exit status" in text.lower(), f"{parser.prog} --help does not say what it exits with"
        assert f"./{parser.prog}" in text, f"{parser.prog} --help has no example of it"
        assert has_acts or command in NO_JSON or "--json" in text, f"{parser.prog} has no --json"
    for example in examples(whole.format_help()):
        name, *arguments = shlex.split(example)
        if name != command:
            continue  # what else one does with its result
        try:
            whole.parse_args([*arguments, *added])
        except SystemExit:
            raise AssertionError(f"./workcell {example}: {capsys.readouterr().err.splitlines()[-1]}") from None
