# SPDX-License-Identifier: Apache-2.0
"""Many batches: the same whatever the number of processes, and what becomes of their figures."""

import csv
import json
import math
import multiprocessing
import signal
from pathlib import Path

import numpy as np
import pytest

from mimedi_nodes.commands.__main__ import main as command
from mimedi_nodes.commands.parts.batch_options import recipe_path
from mimedi_nodes.commands.simulate_many import parameters_of
from mimedi_sim.population import REFERENCES, BatchRow, Campaign, distributions, run_campaign
from mimedi_sim.population.report import summary_of, write_report


def _row(seed, **true):
    return BatchRow(seed, "completed", "", "meets_provisionally", 10.5, true, {"viability": 0.9}, 1.0)


def test_batches_do_not_depend_on_the_number_of_processes():
    campaign = Campaign(recipe_path("car_t_cd19"), 2, seed=21, donors="healthy")
    alone = run_campaign(campaign, jobs=1)
    blocked = []

    def look(_):
        workers = [Path(f"/proc/{worker.pid}/status").read_text() for worker in multiprocessing.active_children()]
        blocked.extend(int(text.split("SigBlk:")[1].split()[0], 16) for text in workers)

    together = run_campaign(campaign, 2, look)
    assert blocked
    assert all(mask >> signal.SIGINT - 1 & 1 for mask in blocked), "a terminal's Ctrl-C must not reach workers"
    for a, b in zip(alone, together, strict=True):
        assert (a.seed, a.ended, a.verdict, a.days, a.error) == (b.seed, b.ended, b.verdict, b.days, "")
        assert a.true == b.true
        assert a.measured == b.measured
    assert alone[0].true != alone[1].true
    assert set(REFERENCES) <= set(alone[0].true), "a figure of PHYSICS §12 is not taken"
    assert 0.6 < alone[0].true["sort_recovery_T"] < 0.9


def test_a_batch_that_cannot_be_simulated_is_told_and_the_others_go_on(monkeypatch):
    from mimedi_sim.population import campaign as module

    real = module.run_batch

    def fails_for_one(run):
        if run.seed == 3:
            raise RuntimeError("the plant broke")
        return real(run)

    monkeypatch.setattr(module, "run_batch", fails_for_one)
    seen = []
    rows = run_campaign(Campaign(recipe_path("car_t_cd19"), 2, seed=3, donors="weak"), 1, seen.append)
    assert rows == seen
    assert rows[0].error == "RuntimeError: the plant broke"
    assert not rows[1].error
    assert summary_of(rows)["meets"] == 0
    assert any("day 1" in cause or "viab" in cause or "cultur" in cause for cause in summary_of(rows)["causes"])


def test_distributions_are_quantiles_and_compare_with_the_references():
    reference = REFERENCES["d10_fold"]
    rng = np.random.default_rng(5)
    rows = [{"d10_fold": float(v), "other": 1.0} for v in rng.normal(30.0, 1.0, 401)] + [{"d10_fold": math.nan}]
    fold, other = distributions(rows)
    assert fold.count == 401
    assert fold.median == pytest.approx(30.0, abs=0.2)
    assert fold.median_error == pytest.approx(fold.median / reference.median - 1.0)
    assert fold.agrees is False
    assert other.agrees is None
    assert 0.001 < fold.median_sampling < 0.01  # 1.25 sd/sqrt(n) of a normal median, 1.96 of it

    exact = np.interp(np.linspace(0, 1, 400), [0, 0.025, 0.5, 0.975, 1],
                      [reference.low * 0.9, reference.low, reference.median, reference.high, reference.high * 1.1])
    assert distributions([{"d10_fold": float(v)} for v in exact])[0].agrees is True
    assert distributions(rows, compare=False)[0].agrees is None


def test_batches_that_differ_in_figures_only_have_one_cause():
    words = "culture: {} viable cells on day {}, at least 1e+09 are needed (CD19, 300 uL)"
    rows = [
        BatchRow(k, "rejected", words.format(cells, day), "rejected", 12.0, {}, {}, 1.0)
        for k, (cells, day) in enumerate((("7.9e+08", "12"), ("4.02206e+08", "11.5")))
    ]
    assert summary_of(rows)["causes"] == {words.format("…", "…").replace("1e+09", "…").replace("300", "…"): 2}


def test_report_files_hold_every_batch_and_every_figure(tmp_path):
    rows = [_row(seed, d10_fold=20.0 + seed, sort_recovery_T=0.8) for seed in range(1, 6)]
    failed = BatchRow(6, "rejected", "culture: too few <cells>", "rejected", 12.0, {"sort_recovery_T": 0.7}, {}, 1.0)
    rows.append(failed)
    written = write_report(tmp_path / "r", "title", rows, distributions([row.true for row in rows]))
    files = {path.name: path for path in written}
    with files["batches.csv"].open(encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["seed"] for row in read] == ["1", "2", "3", "4", "5", "6"]
    assert read[5]["d10_fold"] == ""
    assert float(read[0]["measured.viability"]) == 0.9
    content = json.loads(files["distributions.json"].read_text(encoding="utf-8"))
    assert content["meets"] == 5
    assert content["causes"] == {"culture: too few <cells>": 1}
    assert {d["name"] for d in content["distributions"]} == {"d10_fold", "sort_recovery_T"}
    page = files["report.html"].read_text(encoding="utf-8")
    assert "Zhu 2018" in page
    assert files["distributions.png"].read_bytes()[:4] == b"\x89PNG"


def test_command_refuses_what_makes_no_sense(capsys):
    assert command(["simulate", "car_t_cd19", "-n", "0"]) == 2
    assert "allowed: >= 1" in capsys.readouterr().err
    assert command(["simulate", "car_t_cd19", "-n", "2", "--set", "moi=much"]) == 2
    assert "moi=4" in capsys.readouterr().err
    assert command(["simulate", "car_t_cd19", "-n", "1", "--set", "no_such=1"]) == 2
    assert "no_such" in capsys.readouterr().err
    assert parameters_of(["moi=4", "perfusion_vvd=0.5"]) == {"moi": 4.0, "perfusion_vvd": 0.5}


def test_the_shipped_script_answers_for_every_patient():
    """Also for those whose identity ends in the check character '*': one in 37."""
    from mimedi_nodes.commands.parts.batch_options import default_script
    from mimedi_nodes.process.identity.identity import make_identifier
    from mimedi_nodes.process.people.operator import ScriptedOperator

    (rule,) = [r for r in ScriptedOperator(default_script()).rules if "scan" in r.pattern.pattern]
    identities = [make_identifier("F1234", 26, number) for number in range(200)]
    assert any(identity.endswith("*") for identity in identities)
    for identity in identities:
        match = rule.pattern.search(f"Scan the label of apheresis for patient {identity}")
        assert match is not None
        assert match["chain"] == identity


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--donors", "patient"], "--donors goes with -n"),
        (["--harvest", "day10"], "--harvest goes with -n"),
        (["--jobs", "2"], "--jobs goes with -n"),
        (["-n", "2", "--runs", "here"], "--runs is of one batch"),
    ],
)
def test_an_option_that_would_be_of_no_effect_is_refused(options, words, capsys):
    assert command(["simulate", "car_t_cd19", *options]) == 2
    assert words in capsys.readouterr().err
