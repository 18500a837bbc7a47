# SPDX-License-Identifier: Apache-2.0
"""`workcell replay FILE`: plays the recording of a batch back, for dashboards without a plant."""

from __future__ import annotations

import argparse
import collections
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from .parts.who import EXIT_COULD_NOT_RUN, EXIT_TAKEN

LOOK_S = 3.0
"""How long a living workcell is looked for where a recording is to be played [s of steady time]."""

EXAMPLES = """\
examples:
  ./workcell replay runs/BATCH/topics.mcap             as fast as it was recorded; look with ./workcell dashboard
  ./workcell replay runs/BATCH --speed 0.25            a batch made in 20 s takes 80 s
  ./workcell replay runs/BATCH --clock process --speed 7200
                                                       two hours of the process a second
  ./workcell replay runs/BATCH --namespace cell_9 --wait 30      waits until somebody looks
  ./workcell replay runs/BATCH --info --json           topics and counts; plays nothing
  ./workcell replay runs/BATCH/topics.mcap.part --mend           make a torn recording whole

exit status: 0 played, 2 could not (no recording, nobody listened, a workcell is up there)
"""


def main(argv: Sequence[str]) -> int:
    """Play a recording; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell replay",
        description="Publishes a recorded batch on the topics on which it was heard. Nothing moves: no instrument "
        "and no coordinator is there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="MCAP file, or a run folder with topics.mcap")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast (default 1)")
    parser.add_argument(
        "--clock",
        choices=("recorded", "process"),
        default="recorded",
        help="what speed counts: the wall clock when it was recorded (default), or process time",
    )
    parser.add_argument("--namespace", default="", help="namespace to publish in")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait so long for a listener [s]")
    parser.add_argument("--info", action="store_true", help="tell what is in the file, play nothing")
    parser.add_argument("--mend", action="store_true", help="make a torn file whole in its place, play nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(list(argv))
    if not 1e-3 <= options.speed <= 1e7:
        parser.error(f"--speed is {options.speed:g}; allowed: 0.001 to 1e7")
    path: Path = options.file / "topics.mcap" if options.file.is_dir() else options.file
    if not path.is_file():
        print(f"workcell replay: there is no file {path}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    from ..nodes.recording.replay import RecordingError

    try:
        if options.mend:
            return _mend(path, options.json)
        return _info(path, options.json) if options.info else _play(path, options)
    except (RecordingError, OSError) as error:
        print(f"workcell replay: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN


def _mend(path: Path, as_json: bool) -> int:
    from ..nodes.recording.mcap_writer import is_whole, mend

    whole = is_whole(path)
    count = None if whole else mend(path)
    if as_json:
        print(json.dumps({"file": str(path), "was_whole": whole, "messages": count}))
    else:
        print(f"{path} is whole." if whole else f"{path} is whole again: {count} messages kept.")
    return EXIT_TAKEN


def _info(path: Path, as_json: bool) -> int:
    from ..nodes.recording.mcap_writer import is_whole
    from ..nodes.recording.replay import read_recording

    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    times: list[float] = []
    for message in read_recording(path):
        counts[(message.topic, message.type_name)] += 1
        times.append(message.received_s)
    span_s = times[-1] - times[0] if times else 0.0
    topics = [{"topic": t, "type": k, "messages": n} for (t, k), n in sorted(counts.items())]
    if as_json:
        found = {"file": str(path), "whole": is_whole(path), "seconds": round(span_s, 3), "topics": topics}
        print(json.dumps(found, indent=2))
        return EXIT_TAKEN
    console = Console()
    torn = "" if is_whole(path) else ", torn: it was cut off"
    console.print(f"{path}: {sum(counts.values())} messages in {span_s:.1f} s{torn}", highlight=False, markup=False)
    for row in topics:
        console.print(f"{row['messages']:>8}  {row['topic']}  {row['type']}", highlight=False, markup=False)
    return EXIT_TAKEN


def _play(path: Path, options: argparse.Namespace) -> int:
    from ..nodes.recording.replay import Replay

    console = Console(stderr=options.json)
    with Replay(path, options.namespace) as replay:
        for name, why in replay.unknown.items():
            console.print(f"{name} is not known here and left out: {why}", style="yellow", markup=False)
        if replay.is_live(LOOK_S):
            where = f"namespace {options.namespace}" if options.namespace else "this ROS domain without a namespace"
            print(
                f"workcell replay: a workcell is up in {where}, and its displays would show both; "
                "give another one: --namespace replayed",
                file=sys.stderr,
            )
            return EXIT_COULD_NOT_RUN
        if options.wait and not replay.wait_for_listener(options.wait):
            print(f"workcell replay: nobody listened within {options.wait:g} s", file=sys.stderr)
            return EXIT_COULD_NOT_RUN
        shown = Progress(
            TextColumn("day {task.fields[day]}"), BarColumn(), TaskProgressColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        with shown:
            task = shown.add_task("replay", total=len(replay.messages), day="–")

            def tell(count: int, time_s: float) -> None:
                day = "–" if math.isnan(time_s) else f"{time_s / 86400.0:.2f}"
                shown.update(task, completed=count, day=day)

            count = replay.play(options.speed, options.clock == "process", tell)
        wall_s, process_s = replay.span_s()
    found = {"file": str(path), "messages": count, "recorded_s": round(wall_s, 3), "process_s": round(process_s, 3)}
    if options.json:
        print(json.dumps(found))
    else:
        console.print(f"Played {count} messages, {process_s / 86400.0:.2f} d of process time.", highlight=False)
    return EXIT_TAKEN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
