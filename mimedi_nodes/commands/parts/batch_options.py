# SPDX-License-Identifier: Apache-2.0
"""Options that name a batch: recipe, patient, donor, seed, operator; the same in every command."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...modules.registry import config_folder
from ...process.batch import Batch, checked
from ...process.gateway import OperatorGateway
from ...process.identity.identity import make_identifier
from ...process.people.operator import ScriptedOperator
from ...process.recipes.recipe import Recipe
from .option_types import json_target, seed

DEFAULT_RECIPE = "car_t_cd19"
DONORS = ("nominal", "healthy", "patient", "weak")
EXIT_MEETS, EXIT_REJECTED, EXIT_COULD_NOT_RUN = 0, 1, 2
EXIT_OF_VERDICT = {"meets_provisionally": EXIT_MEETS, "meets": EXIT_MEETS}

EXIT_TEXT = (
    "Exit status: 0 the batch meets its specification (provisionally: sterility pending, awaiting the responsible "
    "pharmacist); 1 rejected or held; 2 could not run."
)


def add_plant_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the simulated plant."""
    parser.add_argument("--seed", type=seed, default=1, help="seed of every noise; changes noise only (default 1)")
    parser.add_argument("--donor", choices=DONORS, default="nominal", help="whose cells (default nominal)")
    parser.add_argument(
        "--scenario", default="nominal", type=_scenario,
        help="a file of config/scenarios, by name, or a file of your own, FILE.yaml (default nominal)",
    )


def _scenario(text: str) -> str:
    """A scenario's name, or its file by a path that other processes find too."""
    return str(Path(text).resolve()) if text.endswith(".yaml") else text


def add_operator_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says who answers the recipe's questions."""
    parser.add_argument(
        "--operator",
        default=f"scripted:{default_script()}",
        metavar="scripted:FILE|ask",
        help="who answers questions: a script, recorded as simulated, or people (default: the shipped script)",
    )


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say for whom a batch is made."""
    parser.add_argument("--batch-id", default="", help="name of the batch and its folder (default: from the time)")
    parser.add_argument("--patient", default=demo_identity(), help="chain of identity (default: a synthetic patient)")
    parser.add_argument("--donor-id", default="", help="chain of identity of the donor (default: the patient's own)")
    parser.add_argument(
        "--engineering", action="store_true", help="an engineering run: any recipe, and it can never be released"
    )
    parser.add_argument("--weight-kg", type=float, default=70.0, help="body weight of the patient [kg] (default 70)")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        type=json_target,
        metavar="FILE",
        help="write the result as JSON, - to the screen",
    )


def demo_identity() -> str:
    """Return the chain of identity of the synthetic patient of demonstrations."""
    return make_identifier("F1234", 26, 1)


def default_script() -> Path:
    """Return the shipped script of answers."""
    return config_folder() / "operators" / "default.yaml"


def recipe_path(name: str) -> Path:
    """Return the file of a recipe, by its name or its path.

    Raises:
        FileNotFoundError: with the recipes there are.
    """
    folder = config_folder() / "recipes"
    for path in (folder / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise FileNotFoundError(f"there is no recipe {name!r}; there are {known}")


def new_batch_id(recipe: str) -> str:
    """Return a name for a batch that starts now."""
    return f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"


def add_campaign_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a campaign to those of `simulate`."""
    many = parser.add_argument_group("many batches")
    many.add_argument("-n", "--number", type=int, metavar="N", help="simulate N batches, seeds SEED … SEED+N-1")
    many.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1); same results")
    many.add_argument("--donors", choices=DONORS, help="donor of each batch (default healthy)")
    many.add_argument(
        "--harvest", choices=("day10", "target"),
        help="day10: every batch is harvested on day 10, to compare with PHYSICS §12 (default for nominal and healthy "
        "donors); target: the recipe's own rule",
    )
    many.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another recipe parameter")
    many.add_argument("--out", type=Path, metavar="FOLDER", help="report folder (default runs/population-…)")


def refuse_campaign_options(options: argparse.Namespace) -> None:
    """Raise ValueError on an option that would be of no effect on one batch."""
    for name, given, instead in (
        ("--donors", options.donors, "; one batch has --donor"),
        ("--harvest", options.harvest, "; one batch takes --set not_before_day=10 --set latest_day=10"),
        ("--jobs", options.jobs != 1, ""),
        ("--out", options.out, "; one batch has --runs"),
    ):
        if given:
            raise ValueError(f"{name} goes with -n, many batches{instead}")


def batch_of(options: argparse.Namespace, recipe: str) -> Batch:
    """Return the batch that the options describe, autologous where no donor is named; raises WorkcellError."""
    batch = Batch(
        options.batch_id or new_batch_id(recipe),
        options.patient,
        options.donor_id or options.patient,
        options.weight_kg,
        "operator",
        options.engineering,
    )
    return checked(batch)


def paired(batch: Batch, recipe: Recipe) -> Batch:
    """Return a simulated batch with a synthetic donor where the recipe wants another person and none is named."""
    if recipe.is_allogeneic and batch.donor_id == batch.patient_id:
        return replace(batch, donor_id=make_identifier("F1234", 26, 999_999))
    return batch


def settings_of(settings: Sequence[str]) -> dict[str, str]:
    """Return the texts of `--set NAME=VALUE` options; raises ValueError."""
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise ValueError(f"--set is {setting!r}; allowed: NAME=VALUE, for example moi=4 or moi='4 TU/cell'")
        values[name.strip()] = text.strip()
    return values


def script_of(operator: str) -> OperatorGateway | None:
    """Return the scripted operator of an option, None for people.

    Raises:
        ValueError: neither `ask` nor `scripted:FILE`.
    """
    if operator == "ask":
        return None
    kind, _, path = operator.partition(":")
    if kind != "scripted" or not path:
        raise ValueError(f"--operator is {operator!r}; allowed: ask, scripted:FILE")
    return ScriptedOperator(Path(path))
