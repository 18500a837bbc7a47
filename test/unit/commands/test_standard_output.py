# SPDX-License-Identifier: Apache-2.0
"""A reader that leaves (`| head -1`) ends a command without a word, after it has put away what it began."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimedi_nodes.commands.parts.option_types import port
from mimedi_nodes.commands.standard_output import READER_LEFT

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import os, sys
from mimedi_nodes.commands.standard_output import status_of
def command():
    try:
        {body}
    except OSError as error:
        print("taken for its own", file=sys.stderr)
    finally:
        os.write(2, b"put away")
    return 0
sys.exit(status_of(command))
"""


def without_reader(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a standard output that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "body",
    [
        "print('x' * 100_000)",  # more than is buffered: it shows while the command writes
        "print('x')",  # less: it shows at the end
        "print('x'); raise SystemExit(3)",  # as argparse ends after its help
    ],
)
def test_a_reader_that_left_ends_a_command_quietly_and_in_order(body: str) -> None:
    done = without_reader("-c", CODE.format(body=body))
    assert (done.returncode, done.stderr) == (READER_LEFT, "put away")


def test_commands_end_quietly() -> None:
    done = without_reader("-m", "mimedi_nodes.commands", "alarms", "explain", "incubator.co2_low")
    assert (done.returncode, done.stderr) == (READER_LEFT, "")


def test_so_does_the_bootstrap() -> None:
    code = "import sys, pathlib; from standalone.bootstrap.cli import main; sys.exit(main(['help'], pathlib.Path('.')))"
    done = without_reader("-c", code)
    assert (done.returncode, done.stderr) == (READER_LEFT, "")


def test_an_exit_with_words_says_them() -> None:
    code = "import sys; from mimedi_nodes.commands.standard_output import status_of; status_of(lambda: sys.exit('no'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == "no\n"


def test_a_port_is_one_that_can_be() -> None:
    assert (port("0"), port("8080"), port("65535")) == (0, 8080, 65535)
    for text in ("65536", "-1", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="allowed: a whole number from 0 to 65535"):
            port(text)
