# SPDX-License-Identifier: Apache-2.0
"""`workcell answer [TEXT]`: answers the question that the batch waits for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ..modules.registry import module_table
from ..process.errors import WorkcellError
from .parts.who import (
    EXIT_COULD_NOT_RUN,
    EXIT_REFUSED,
    EXIT_TAKEN,
    EXIT_TEXT,
    Unasked,
    add_who_options,
    add_workcell_options,
    who_acts,
)

EXAMPLES = f"""\
examples:
  ./workcell answer                       shows the question, asks for the answer
  ./workcell answer Keep --who "A. Martin"
  ./workcell answer Keep --who "A. Martin" --batch B2026-002
  ./workcell answer =F123426000001J/apheresis --who "A. Martin" --why "as scanned"

{EXIT_TEXT}
"""


def main(argv: Sequence[str]) -> int:
    """Answer the open question; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell answer",
        description="Answers the question that the running batch waits for, under a person's name.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("answer", nargs="?", help="the answer (default: asked for)")
    parser.add_argument("--batch", default="", metavar="ID", help="batch that asks (default: whichever does)")
    add_workcell_options(parser)
    add_who_options(parser)
    options = parser.parse_args(list(argv))
    from ..nodes.clients.workcell_client import WorkcellClient

    console = Console(stderr=options.json)
    client = WorkcellClient(options.namespace, tuple(module_table()), "answer_command")
    client.start()
    try:
        wanted = options.batch
        client.wait_seen(lambda seen: asked(seen, wanted) is not None, options.timeout)
        prompt = asked(client.seen, wanted)
        if prompt is None:
            of_it = f" of batch {wanted}" if wanted else ""
            print(f"workcell answer: no question{of_it} is open", file=sys.stderr)
            return EXIT_COULD_NOT_RUN
        console.print(f"{prompt.question}", highlight=False, markup=False)
        outcome = client.answer(
            prompt.prompt_id, _given(options, prompt.answers), who_acts(options), options.why or "", prompt.batch_id
        )
    except WorkcellError as error:
        print(f"workcell answer: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    finally:
        client.close()
    if options.json:
        found = {"prompt_id": prompt.prompt_id, "accepted": outcome.accepted, "message": outcome.message}
        print(json.dumps(found, ensure_ascii=False))
    if not outcome.accepted:
        print(f"workcell answer: not taken: {outcome.message}", file=sys.stderr)
        return EXIT_REFUSED
    console.print("Taken.")
    return EXIT_TAKEN


def asked(seen: Any, batch_id: str) -> Any:
    """Return the oldest open question of a batch, of any when none is named; None while there is none."""
    prompt = seen.question(batch_id)
    return None if prompt is not None and batch_id not in ("", prompt.batch_id) else prompt


def _given(options: argparse.Namespace, answers: Sequence[str]) -> str:
    given = str(options.answer or "").strip()
    if not given and sys.stdin.isatty():
        given = input(f"Answer{f' [{chr(47).join(answers)}]' if answers else ''}: ").strip()
    if not given:
        raise Unasked(f"an answer is missing; allowed: {', '.join(answers) or 'any text'}")
    return given
