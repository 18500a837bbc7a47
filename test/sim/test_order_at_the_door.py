# SPDX-License-Identifier: Apache-2.0
"""What cannot be right in an order is refused before anything is launched or simulated: status 2, what is allowed."""

import pytest

from mimedi_nodes.commands import demo, simulate

PATIENT = "F123426000001J"
REFUSED = [
    (("--weight-kg", "-3"), "allowed: 2 to 250"),
    (("--weight-kg", "nan"), "allowed: 2 to 250"),
    (("--patient", PATIENT[:-1] + "K"), "its check character should be 'J'"),
    (("--donor-id", "somebody"), "is none: five characters of the facility"),
    (("--batch-id", "../B1"), "give letters, digits and . _ -"),
    (("--seed", "-1"), "a whole number from 0 to 2147483647"),
    (("--seed", "1.5"), "a whole number from 0"),
    (("--scenario", "rain"), "there are: contamination"),
    (("--operator", "somebody"), "allowed: ask, scripted:FILE"),
    (("--operator", "scripted:/nobody.yaml"), "cannot be read"),
    (("--json", "/nowhere/result.json"), "there is no folder '/nowhere'"),
]


def status_of(main, *arguments):
    """Return the exit status, whether the parser or the command itself refused."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


def named(given):
    """Return a case's name: its arguments."""
    return " ".join(given) if isinstance(given, tuple) else ""


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=named)
def test_a_simulated_batch_is_not_begun(arguments, words, capsys):
    assert status_of(simulate.main, "car_t_cd19", *arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *REFUSED,
        (("--speed", "0"), "a factor above 0"),
        (("--speed", "fast"), "allowed: max"),
        (("--recipe", "soup"), "there are"),
    ],
    ids=named,
)
def test_nothing_is_launched(arguments, words, tmp_path, capsys):
    assert status_of(demo.main, "--runs", str(tmp_path / "runs"), *arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.log"))


def test_runs_that_cannot_be_written_are_told(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert demo.main(["--runs", str(tmp_path / "file" / "runs")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
