# SPDX-License-Identifier: Apache-2.0
"""`workcell produce RECIPE`: orders a batch from a running workcell and follows it."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..modules.registry import manifests, module_table
from ..process.errors import WorkcellError
from ..process.recipes.loader import load_recipe
from .parts.batch_options import (
    DEFAULT_RECIPE,
    EXIT_COULD_NOT_RUN,
    EXIT_OF_VERDICT,
    EXIT_REJECTED,
    EXIT_TEXT,
    add_batch_options,
    batch_of,
    recipe_path,
    settings_of,
)
from .parts.batch_view import BatchView
from .parts.option_types import write_json
from .parts.questions import Questions
from .parts.release_table import print_release

SILENT_S = 10.0
"""How long `produce` listens for a workcell that somebody else has started [s of steady time]."""


def main(argv: Sequence[str]) -> int:
    """Order a batch; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell produce",
        description="Orders one batch from a running workcell (./workcell up), follows it to its verdict. " + EXIT_TEXT,
        epilog="Example: ./workcell produce car_t_cd19 --weight-kg 82",
    )
    parser.add_argument("recipe", nargs="?", default=DEFAULT_RECIPE, help=f"recipe (default {DEFAULT_RECIPE})")
    parser.add_argument("--namespace", default="", help="namespace of the workcell")
    add_batch_options(parser)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another parameter, unit allowed"
    )
    options = parser.parse_args(list(argv))
    console = Console(stderr=options.json == "-")
    return produce(options, console, lambda: True, silent_s=SILENT_S)


def parameters_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of `--set`, in the recipe's own types; raises WorkcellError or ValueError."""
    settings = settings_of(getattr(options, "set", []))
    if not settings:
        return {}
    recipe = load_recipe(recipe_path(options.recipe), manifests()).with_settings(settings)
    return {name: recipe.parameters[name].value for name in settings}


def produce(
    options: argparse.Namespace,
    console: Console,
    still_running: Callable[[], bool],
    runs_dir: Path | None = None,
    silent_s: float = math.inf,
) -> int:
    """Order the batch of the options, follow it, print its release table; return the exit status."""
    from ..nodes.clients.batch_client import BatchClient, ClientError, Seen

    try:
        parameters = parameters_of(options)
    except (WorkcellError, OSError, ValueError) as error:
        print(f"workcell: could not run: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    client = BatchClient(options.namespace, tuple(module_table()))
    try:
        with console.status("bringing up the workcell") as waiting:
            client.wait_active(still_running, lambda text: waiting.update(text), silent_s)
        with BatchView(console) as view:
            batch = batch_of(options, options.recipe)
            questions = Questions(client, view, console)

            def follow(seen: Seen) -> None:
                view.show(seen.batch)
                questions.take(seen.prompt, batch.batch_id)

            summary = client.produce(options.recipe, batch, parameters, follow)
    except (ClientError, WorkcellError, OSError, ValueError) as error:
        print(f"workcell: could not run: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    finally:
        client.close()
    show(summary, options, console, runs_dir)
    return EXIT_OF_VERDICT.get(str(summary["verdict"]), EXIT_REJECTED)


def show(summary: dict[str, Any], options: argparse.Namespace, console: Console, runs_dir: Path | None) -> None:
    """Print the release table and where the files are; write the JSON that was asked for."""
    print_release(summary, console)
    ended = summary.get("ended") or {}
    if ended.get("reason"):
        console.print(f"Ended {ended.get('state')}: {ended['reason']}", highlight=False, markup=False)
    # Where a workcell that somebody else has started keeps its runs is not known here.
    folder = str(runs_dir / summary["folder"]) if runs_dir is not None else f"{summary['folder']} in its runs folder"
    console.print(f"Files: {folder}  (report.html, summary.json, record, topics.mcap)", highlight=False, soft_wrap=True)
    write_json(summary, options.json)
