# SPDX-License-Identifier: Apache-2.0
"""Every command that the page on records shows exists, with the options that it shows."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from mimedi_nodes.commands.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/records.md",)


def shown() -> list[list[str]]:
    """Words of each `./workcell …` line in a code block; what follows two blanks is a remark."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"```\n(.*?)```", (ROOT / page).read_text(), re.S):
            lines += [line for line in block.splitlines() if line.startswith("./workcell ")]
    return [shlex.split(re.split(r" {2,}", line.removeprefix("./workcell "))[0]) for line in lines]


@pytest.mark.parametrize("words", shown(), ids=" ".join)
def test_a_command_that_is_shown_exists_with_its_options(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[0] in COMMANDS
    module = importlib.import_module(f"mimedi_nodes.commands.{words[0].replace('-', '_')}")
    texts = []
    for arguments in (["--help"], [words[1], "--help"]):
        with pytest.raises(SystemExit) as ended:
            module.main(arguments)
        assert ended.value.code == 0
        texts.append(capsys.readouterr().out)
    for option in (word for word in words if word.startswith("--")):
        assert option in texts[1], f"{words[0]} has no {option}"
