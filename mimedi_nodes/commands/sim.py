# SPDX-License-Identifier: Apache-2.0
"""`workcell sim`: the simulated plant of a running workcell: its clock, its faults, its truth."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .parts.sim_words import (
    EXIT_DONE,
    EXIT_NOBODY,
    EXIT_REFUSED,
    Wrong,
    clock_text,
    duration_s,
    fault_text,
    parameters_of,
    speed_of,
)
from .parts.teaching import teach

TELL_FROM_S = 15.0
"""From how long a wait on [s] of wall-clock time a command says how long it takes."""
EXAMPLES = """\
examples:
  ./workcell sim faults                                        faults that can be put in, and those that are in
  ./workcell sim faults leak                                   one of them: parameters, signature, the workcell's answer
  ./workcell sim inject leak culture_vessel volume_ul=5000
  ./workcell sim inject contamination culture_vessel organism=escherichia_coli cfu=10
  ./workcell sim clear leak culture_vessel                     or: sim clear --all
  ./workcell sim time                                          process time, speed, who is lost
  ./workcell sim speed 3600                                    an hour a second; max: as fast as everybody can follow
  ./workcell sim pause                                         let time stand
  ./workcell sim resume                                        let it pass again
  ./workcell sim step 2h                                       let two hours pass, then stand (s, min, h, d)
  ./workcell sim run-until 5d                                  stand on day 5; sim resume goes on
  ./workcell sim truth                                         what is really in the vessels
  ./workcell sim truth vessels.culture_vessel.cells --json

exit status: 0 done; 1 the plant refused, or time did not come there; 2 no plant answers
"""
def main(argv: Sequence[str]) -> int:
    """Carry out one act on the plant; see the module's text."""
    parser = _parser()
    options = parser.parse_args(list(argv))
    try:
        if options.act == "faults":
            from .parts.sim_faults import show_faults

            return show_faults(options)
        return _on_plant(options, _ACTS[options.act])
    except Wrong as error:
        print(f"workcell sim {options.act}: {error}", file=sys.stderr)
        return EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workcell sim", description="The simulated plant of a running workcell: clock, faults, truth.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--namespace", default="", help="namespace of the workcell")
    common.add_argument("--timeout", type=float, default=5.0, help="longest wait for the plant [s] (default 5)")
    common.add_argument("--json", action="store_true", help="print as JSON")
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")

    def act(name: str, text: str) -> argparse.ArgumentParser:
        return acts.add_parser(name, parents=[common], help=text, description=text[0].upper() + text[1:] + ".")

    act("faults", "faults that can be put in, and those that are in").add_argument("fault", nargs="?")
    inject = act("inject", "put a fault in")
    inject.add_argument("fault")
    inject.add_argument("target", help="vessel, pump, line … that it acts on")
    inject.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    clear = act("clear", "take a fault away")
    clear.add_argument("fault", nargs="?")
    clear.add_argument("target", nargs="?")
    clear.add_argument("--all", action="store_true", help="every fault that is in")
    act("time", "process time, speed, and who is lost")
    act("speed", "set how fast time passes").add_argument("speed", help="max, or a factor such as 1 or 3600")
    act("pause", "let time stand")
    act("resume", "let time pass again, without an end")
    act("step", "let some time pass, then stand").add_argument("duration", nargs="?", default="1h")
    act("run-until", "let time pass up to an instant, then stand").add_argument("instant", help="such as 5d or 120h")
    for name in ("step", "run-until"):
        acts.choices[name].add_argument("--patience", type=float, default=600.0, metavar="S",
                                        help="longest wall-clock wait [s] (default 600)")
    act("truth", "what is really in the plant").add_argument("path", nargs="?", help="part of it, with dots")
    teach(parser)
    return parser


# -- acts on a running plant ------------------------------------------------------------------------------------

Act = Callable[[Any, argparse.Namespace], int]


def _on_plant(options: argparse.Namespace, act: Act) -> int:
    from ..nodes.clients.plant_client import NoPlant, PlantClient

    client = PlantClient(options.namespace)
    try:
        return act(client, options)
    except NoPlant as error:
        print(f"workcell sim {options.act}: {error}", file=sys.stderr)
        return EXIT_NOBODY
    finally:
        client.close()


def _done(told: Any, options: argparse.Namespace, text: str) -> int:
    if not told.accepted:
        raise Wrong(told.message)
    if options.json:
        print(json.dumps({"accepted": True, "what": text}))
    else:
        print(text)
    return EXIT_DONE


def _inject(client: Any, options: argparse.Namespace) -> int:
    values = parameters_of(options.parameters)
    told = client.set_fault(options.fault, options.target, values, active=True)
    return _done(told, options, f"in: {fault_text({'fault': options.fault, 'target': options.target, **values})}")


def _clear(client: Any, options: argparse.Namespace) -> int:
    if options.all:
        if options.fault:
            raise Wrong("name a fault and its target, or --all, not both")
        pairs = [(f["fault"], f["target"]) for f in client.read_truth(options.timeout)["faults"]]
    elif options.fault and options.target:
        pairs = [(options.fault, options.target)]
    else:
        raise Wrong("name the fault and its target, or --all; ./workcell sim faults lists those that are in")
    for fault, target in pairs:
        _done(client.set_fault(fault, target, {}, active=False), options, f"out: {fault} {target}")
    if not pairs:
        print("no fault is in")
    return EXIT_DONE


def _time(client: Any, options: argparse.Namespace) -> int:
    grant = client.time(options.timeout)
    speed = "max" if math.isinf(grant.speed) else f"×{grant.speed:g}"
    if options.json:
        print(json.dumps({"time_s": grant.time_s, "speed": None if math.isinf(grant.speed) else grant.speed,
                          "paused": grant.paused, "lost": list(grant.lost)}))
        return EXIT_DONE
    lost = f"; waits at ×1 for {', '.join(grant.lost)}" if grant.lost else ""
    print(f"{clock_text(grant.time_s)}, {'stands by command' if grant.paused else f'speed {speed}'}{lost}")
    return EXIT_DONE


def _speed(client: Any, options: argparse.Namespace) -> int:
    return _done(client.set_clock(speed=speed_of(options.speed)), options, f"speed {options.speed}")


def _pause(client: Any, options: argparse.Namespace) -> int:
    return _done(client.set_clock(paused=True), options, f"time stands at {clock_text(_now(client, options))}")


def _resume(client: Any, options: argparse.Namespace) -> int:
    return _done(client.set_clock(), options, "time passes")


def _now(client: Any, options: argparse.Namespace) -> float:
    return float(client.time(options.timeout).time_s)


def _step(client: Any, options: argparse.Namespace) -> int:
    return _go_to(client, options, _now(client, options) + duration_s(options.duration))


def _run_until(client: Any, options: argparse.Namespace) -> int:
    return _go_to(client, options, duration_s(options.instant))


def takes_text(grant: Any, time_s: float, patience_s: float) -> str:
    """Say how long it takes until process time has come to time_s [s], and when it is longer than one waits; empty
    when that is not worth a word, or not known: at full speed.

    Args:
        grant: the last one, with time_s [s], speed and paused.
        patience_s: how long the command waits [s].
    """
    takes_s = (time_s - grant.time_s) / grant.speed
    if takes_s < TELL_FROM_S:
        return ""
    waited = "" if takes_s < patience_s else f"; this command looks for {patience_s:g} s"
    return f"{takes_s / 60.0:.1f} min at ×{grant.speed:g}{waited}; ./workcell sim speed makes it faster"


def _go_to(client: Any, options: argparse.Namespace, time_s: float) -> int:
    told = client.set_clock(run_until_s=time_s)
    if not told.accepted:
        raise Wrong(told.message)
    if takes := takes_text(client.time(options.timeout), time_s, options.patience):
        print(takes, file=sys.stderr, flush=True)
    if not client.wait_time(time_s, options.patience):
        raise Wrong(f"time is at {clock_text(_now(client, options))} after {options.patience:g} s, not at "
                    f"{clock_text(time_s)}: it goes on; ./workcell sim time tells who is waited for")
    return _done(told, options, f"time stands at {clock_text(time_s)}")


def _truth(client: Any, options: argparse.Namespace) -> int:
    found: Any = client.read_truth(options.timeout)
    for key in (options.path or "").split(".") if options.path else ():
        if not isinstance(found, Mapping) or key not in found:
            there = ", ".join(found) if isinstance(found, Mapping) else "nothing below"
            raise Wrong(f"{options.path}: there is no {key!r}; there are: {there}")
        found = found[key]
    if options.json or options.path:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        from .parts.sim_faults import show_truth

        show_truth(found)
    return EXIT_DONE


_ACTS: Mapping[str, Act] = {
    "inject": _inject, "clear": _clear, "time": _time, "speed": _speed, "pause": _pause, "resume": _resume,
    "step": _step, "run-until": _run_until, "truth": _truth,
}
