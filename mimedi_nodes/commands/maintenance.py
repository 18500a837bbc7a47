# SPDX-License-Identifier: Apache-2.0
"""`workcell maintenance`: takes a module out of production, jogs and calibrates it, gives it back; all by signature."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..modules.registry import known_modules, load_module
from ..process.errors import WorkcellError
from ..process.people.maintenance import FOLDER, MaintenanceBook, MaintenanceError, under_maintenance
from ..records.errors import RecordError
from ..records.heads import Signer
from ..records.signatures import Signature
from .parts.people import Place, add_person_options, add_runs_option, authenticate, registry
from .parts.teaching import teach
from .parts.who import who_acts

EXAMPLES = """\
examples:
  ./workcell maintenance begin fluidics --why "new pump" --user mia
  ./workcell maintenance acts fluidics                                             what can be done, with ranges
  ./workcell maintenance jog fluidics pump --set volume_ul=500 --why "run in" --user mia
  ./workcell maintenance calibrate fluidics pump --set repeats=5 --why "new pump" --user mia
  ./workcell maintenance calibrate fluidics medium --set reference_g=5000 --why "yearly" --user mia
  ./workcell maintenance end fluidics --why "pump exchanged, +0.1 % after correction" --user mia
  ./workcell maintenance reset enclosure emergency_stop --why "nobody in danger, glove freed" --user ben
  ./workcell maintenance list --json
  ./workcell verify .workcell/maintenance        the record of all maintenance

From begin to end the module's alarms are out of service, no batch that needs it begins, and it takes no goal. Jogs
and calibrations need a running workcell and touch supplies and waste only; a module that a batch has is left alone.
exit status: 0 done, 1 refused, 2 could not run
"""
MANUAL = ("jog", "calibrate", "reset")
_ABOUT = {
    "begin": "take a module out of production",
    "end": "give it back",
    "jog": "move an actuator by hand",
    "calibrate": "calibrate an instrument or a vessel's scale",
    "reset": "reset a safety chain, in production too",
}


def main(argv: Sequence[str]) -> int:
    """Begin, end or list maintenance, or act by hand; see the module's text."""
    options = _parser().parse_args(list(argv))
    place = Place(options.runs)
    folder = place.state / FOLDER
    try:
        if options.act == "list":
            return _list(folder, options.json)
        if options.act == "acts":
            return _acts(options.module, options.json)
        if options.act == "reset":
            return _reset(options)
        users = registry(place)
        book = MaintenanceBook(folder, Signer.load_or_create(place.keys), users.roles, tuple(known_modules()))
        person = authenticate(options, users)
        if options.act in MANUAL:
            if options.module not in under_maintenance(folder):
                raise MaintenanceError(f"{options.module} is in production; first: maintenance begin {options.module}")
            reply = _ask(options, users.open_session(person))
            found = reply.found if reply.done else {"failure": reply.message}
            title = f"{options.act} {options.target}"
            _say(options, book.acted(options.module, title, person, options.why, _values(options), found))
            return _tell(options, reply)
        act = book.begin if options.act == "begin" else book.end
        signature = act(options.module, person, options.why)
        _say(options, signature)
        if options.json:
            print(json.dumps(vars(signature.statement), indent=2, ensure_ascii=False))
    except WorkcellError as error:
        print(f"workcell maintenance: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell maintenance: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workcell maintenance",
        description="Takes a module out of production, jogs and calibrates it, and gives it back; all is signed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="begin|end|acts|jog|calibrate|reset|list")
    for name in ("begin", "end", *MANUAL):
        act = acts.add_parser(name, help=_ABOUT[name])
        act.add_argument("module", help=", ".join(known_modules()))
        if name in MANUAL:
            act.add_argument("target", help="actuator, instrument or vessel: see `acts`")
            act.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a value of the act")
            act.add_argument("--namespace", default="", help="namespace of the workcell")
            act.add_argument("--timeout", type=float, default=600.0, metavar="S", help="longest wait [s] (default 600)")
        if name == "reset":
            act.add_argument("--who", help="name of who acts, where the workcell has no accounts")
        act.add_argument("--json", action="store_true", help="print what was found, or signed, as JSON")
        act.add_argument("--why", required=True, help="what is done, or what was done and checked")
        add_person_options(act)
    known = acts.add_parser("acts", help="what can be done by hand, with ranges")
    known.add_argument("module", help=", ".join(known_modules()))
    known.add_argument("--json", action="store_true")
    known = acts.add_parser("list", help="modules in maintenance, since when and by whom")
    known.add_argument("--json", action="store_true")
    for act in acts.choices.values():
        add_runs_option(act)
    teach(parser)
    return parser


@dataclass(frozen=True)
class _Reply:
    """What the module answered."""

    done: bool
    message: str
    found: Mapping[str, Any]


def _ask(options: argparse.Namespace, who: str) -> _Reply:
    from ..nodes.clients.workcell_client import WorkcellClient

    client = WorkcellClient(options.namespace, tuple(known_modules()), "maintenance_command")
    client.start()
    try:
        outcome, found = client.maintain(
            options.module, options.act, options.target, _values(options), who, options.why, options.timeout
        )
    finally:
        client.close()
    return _Reply(outcome.accepted, outcome.message, found)


def _reset(options: argparse.Namespace) -> int:
    return _tell(options, _ask(options, who_acts(options)))


def _tell(options: argparse.Namespace, reply: _Reply) -> int:
    if not reply.done:
        print(f"workcell maintenance: {reply.message}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(dict(reply.found), indent=2, ensure_ascii=False))
    else:
        for name, value in reply.found.items():
            print(f"  {name:<20} {value:.6g}" if isinstance(value, float) else f"  {name:<20} {value}")
    return 0


def _values(options: argparse.Namespace) -> dict[str, Any]:
    values = {}
    for text in options.set:
        name, given, value = text.partition("=")
        if not given:
            raise MaintenanceError(f"--set {text!r}; allowed: NAME=VALUE")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            values[name.strip()] = value.strip()
    return values


def _say(options: argparse.Namespace, signature: Signature) -> None:
    said = signature.statement
    states = {"begin": "is in maintenance", "end": "is back in production"}
    state = states.get(options.act, f"{options.act} {getattr(options, 'target', '')}")
    print(f"{options.module}: {state}; signed by {said.name} ({said.role}).", file=sys.stderr)


def _acts(module: str, as_json: bool) -> int:
    acts = [act.as_fields() for act in load_module(module).manual]
    if as_json:
        print(json.dumps(acts, indent=2, ensure_ascii=False))
        return 0
    for act in acts:
        print(f"{act['act']} {' | '.join(act['targets'])}: {act['meaning']}")
        for name, value in act["values"].items():
            default = "" if value["default"] is None else f"; else {value['default']}"
            print(f"  --set {name}=…  {value['meaning']}: {value['allowed']}{default}")
    if not acts:
        print(f"{module} takes no manual acts.")
    return 0


def _list(folder: Path, as_json: bool) -> int:
    found = under_maintenance(folder)
    if as_json:
        rows = {module: vars(signature.statement) for module, signature in found.items()}
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for module, signature in found.items():
            said = signature.statement
            print(f"{module}: since {said.signed_at[:19]} UTC by {said.name}: {said.comment}")
        if not found:
            print("No module is in maintenance.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
