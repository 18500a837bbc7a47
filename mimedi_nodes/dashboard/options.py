# SPDX-License-Identifier: Apache-2.0
"""The options of the stand-alone windows; imports neither Qt nor ROS, so that help and completion are quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

NAMES = ("overview", "workcell", "batch", "vision", "alarms", "trends", "record", "all")
"""The windows; `all` has the six boards as tabs."""
EXAMPLES = """\
examples:
  ./workcell dashboard                       everything an operator needs, on one screen
  ./workcell dashboard batch --operator "A. Martin"
  ./workcell dashboard all --language fr     the six boards as tabs of one window (Ctrl+1 to Ctrl+6)
  ./workcell dashboard alarms --namespace cell_2 --full-screen
  QT_QPA_PLATFORM=offscreen ./workcell dashboard trends --screenshot trends.png --after 20

exit status: 0 closed, 2 there is no display, or the picture could not be written
"""


def size(text: str) -> tuple[int, int]:
    """Return the size of a window [px]; raises ArgumentTypeError."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 640 and int(height) >= 480):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x800, at least 640x480")
    return int(width), int(height)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a window; ends the process with 2 and a word on a wrong one."""
    parser = argparse.ArgumentParser(
        prog="workcell dashboard",
        description="The operator's windows of one workcell; the same are rqt plugins.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", default="overview", choices=NAMES, help="which window (default overview)")
    parser.add_argument("--namespace", default="", help="namespace of the workcell (default: none)")
    parser.add_argument("--modules", help="names of its modules, comma-separated (default: config/modules.yaml)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs, for plan and records")
    parser.add_argument("--operator", help="name that acts are signed with")
    parser.add_argument("--language", choices=("en", "fr"), help="language, kept (default: the session's)")
    parser.add_argument("--size", type=size, metavar="WxH", help="size of the window [px] (default: as it was left)")
    parser.add_argument("--full-screen", action="store_true", help="fill the screen")
    parser.add_argument("--screenshot", metavar="FILE", help="save a picture of the window and end")
    parser.add_argument("--after", type=float, default=5.0, metavar="S", help="time before the screenshot [s]")
    return parser.parse_args(list(arguments))
