# SPDX-License-Identifier: Apache-2.0
"""Runs many headless batches in several processes; batch i is a function of seed + i alone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site import Site
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.records.review import review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.collection import without_collection
from mimedi_sim.headless import HeadlessRun, run_batch
from mimedi_sim.models.donors import NOMINAL, Donor, donor
from mimedi_sim.models.process_chain import PROCESS, nominal_batch
from mimedi_sim.population.milestones import Milestones
from mimedi_sim.population.outcomes import aliquot_ul
from mimedi_sim.scenarios import Scenario, find_scenario

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Campaign:
    """Batches of one recipe: seeds seed … seed+number-1, one donor of a kind each.

    Args: recipe_file; donors as `donor()` knows them; parameters that change the recipe's; scenario by name;
    weight_kg of the patients.
    """

    recipe_file: Path
    number: int
    seed: int = 1
    donors: str = "healthy"
    parameters: Mapping[str, float] = field(default_factory=dict)
    scenario: str = "nominal"
    operator_file: Path | None = None
    weight_kg: float = 70.0

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number of batches is {self.number}; allowed: >= 1")


@dataclass(frozen=True)
class BatchRow:
    """What became of one batch: how it ended, its verdict and its figures.

    `true` are the figures of the plant's truth (PHYSICS §12 names), `ideal` those of the idealised chain for the same
    donor and the steps of PROCESS, `measured` the release table's numbers by identifier. `error` tells why a batch
    could not be carried through at all.
    """

    seed: int
    ended: str
    reason: str
    verdict: str
    days: float
    true: Mapping[str, float]
    measured: Mapping[str, float]
    wall_s: float
    error: str = ""
    ideal: Mapping[str, float] = field(default_factory=dict)


class _Setting:
    """What all batches of a process share."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.site: Site = load_site(config_folder() / "site" / "demo.yaml")
        recipe: Recipe = load_recipe(campaign.recipe_file, manifests())
        self.recipe = recipe.with_parameters(campaign.parameters) if campaign.parameters else recipe
        self.scenario: Scenario = find_scenario(campaign.scenario, config_folder() / "scenarios")
        self.script = campaign.operator_file or config_folder() / "operators" / "default.yaml"
        self.specification = read_specification(product_file(config_folder() / "products", recipe.product))

    def _recipe_for(self, who: Donor) -> Recipe:
        """Return the recipe with what the operator sets for a patient: the collection was counted when it was made."""
        if self.campaign.donors != "patient":
            return self.recipe
        t_fraction = min(0.9, max(0.1, who.t_fraction))
        known = {
            "aliquot_ul": aliquot_ul(who), "expected_t_fraction": t_fraction,
            "least_focused": self.recipe.parameters["least_focused"].value * t_fraction / NOMINAL.t_fraction,
        }
        wanted = {name: value for name, value in known.items() if name not in self.campaign.parameters}
        return self.recipe.with_parameters(wanted)

    def batch(self, seed: int) -> BatchRow:
        begun_s = time.perf_counter()
        milestones = Milestones()
        identity = make_identifier("F1234", 26, seed % 1_000_000)
        giver = make_identifier("F1234", 27, seed % 1_000_000) if self.recipe.is_allogeneic else identity
        batch = Batch(f"{self.recipe.name}-{seed}", identity, giver, self.campaign.weight_kg, "operator")
        who = donor(self.scenario.donor or self.campaign.donors, seed)
        result = run_batch(HeadlessRun(
            self._recipe_for(who), batch, self.site, who, seed, ScriptedOperator(self.script), self.scenario,
            observer=milestones,
        ))
        reviewed = review(result.events, self.specification, evaluate)
        for event in result.events:
            if event.kind == "phase_ended" and event.data.get("phase_id") == "expansion.perfuse.perfusion":
                milestones.perfused(float(event.data["result"]["medium_used_ul"]))
        measured = {
            row.id: float(row.value) for row in reviewed.rows
            if isinstance(row.value, (int, float)) and not isinstance(row.value, bool)
        }
        missed = ", ".join(row.title for row in reviewed.rows if row.verdict == "fail")
        reason = result.outcome.reason or (f"release: {missed} out of specification" if missed else "")
        return BatchRow(
            seed, result.outcome.state, reason, reviewed.verdict, result.process_time_s / 86_400.0,
            milestones.values, measured, time.perf_counter() - begun_s, ideal=nominal_batch(who, PROCESS),
        )


_setting: _Setting | None = None


def _begin(campaign: Campaign) -> None:
    global _setting
    import cv2

    cv2.setNumThreads(1)
    _setting = _Setting(campaign)
    gc.collect()
    gc.freeze()  # what all batches share is no garbage, and need not be looked at after each


def _one(seed: int) -> BatchRow:
    assert _setting is not None
    try:
        with without_collection():
            return _setting.batch(seed)
    except Exception as error:  # noqa: BLE001 - a batch that cannot be simulated is a finding, not the end of the rest
        return BatchRow(seed, "error", "", "", 0.0, {}, {}, 0.0, f"{type(error).__name__}: {error}")
    finally:
        gc.collect()  # a plant and its modules know one another: together they are a cycle


def run_campaign(
    campaign: Campaign, jobs: int = 1, done: Callable[[BatchRow], None] | None = None
) -> list[BatchRow]:
    """Return the rows of all batches in the order of their seeds, the same whatever `jobs` is but for wall_s.

    Args: jobs is the number of processes (1: none but this); done is called after each batch, in any order.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; allowed: >= 1")
    seeds = range(campaign.seed, campaign.seed + campaign.number)
    report: Callable[[BatchRow], Any] = done or (lambda row: None)
    if jobs == 1:
        _begin(campaign)
        rows = []
        for seed in seeds:
            rows.append(_one(seed))
            report(rows[-1])
        return rows
    _Setting(campaign)  # a mistake in recipe or parameters is told here, not by every process
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, campaign.number)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(campaign,)) as pool:
        # Workers keep this mask from their birth on: a terminal's Ctrl-C is for the process that tells them to end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            futures = {pool.submit(_one, seed): seed for seed in seeds}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        by_seed = {}
        try:
            for future in as_completed(futures):
                by_seed[futures[future]] = future.result()
                report(by_seed[futures[future]])
        except BaseException:
            pool.shutdown(cancel_futures=True)  # and wait: workers whose parent has gone wait for ever
            raise
    return [by_seed[seed] for seed in seeds]
