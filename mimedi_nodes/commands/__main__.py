# SPDX-License-Identifier: Apache-2.0
"""`python -m mimedi_nodes.commands NAME ARGS…`: one module a command, imported only when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import NoReturn

from ..nodes.frame.bounded_end import PROCESS_END
from .lazy_imports import SELDOM_USED, load_when_used
from .names import COMMANDS, MODULE_OF
from .standard_output import status_of


def main(argv: list[str]) -> int:
    """Run a command; returns its exit status."""
    if "_ARGCOMPLETE" in os.environ:
        from .completion import complete

        return complete()
    if not argv or argv[0] not in COMMANDS:
        print(f"workcell: unknown command {argv[:1]}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if argv[0] == "dashboard":
        from ..dashboard.window import main as window

        sys.argv = ["workcell dashboard", *argv[1:]]
        return int(window() or 0)
    # A command that is told to stop unwinds as by Ctrl-C: what it has launched is ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name = argv[0].replace("-", "_")
    try:
        if name == "simulate":
            load_when_used(SELDOM_USED)
        module = importlib.import_module(f"mimedi_nodes.commands.{MODULE_OF.get(name, name)}")
        return int(module.main(argv[1:], name) if name in MODULE_OF else module.main(argv[1:]))
    except KeyboardInterrupt:
        print(f"workcell {argv[0]}: interrupted", file=sys.stderr)
        return 130


def _leave(status: int) -> NoReturn:
    """End without handing back object by object what the system takes back at once: a tenth of a simulated batch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    simulating = sys.argv[1:2] == ["simulate"]
    if simulating:
        # What a batch and its modules leave goes with the process; a campaign looks for cycles after each batch itself.
        gc.disable()
    else:
        PROCESS_END.keep_nodes()
    ended = 1
    try:
        ended = status_of(lambda: main(sys.argv[1:]))
    finally:
        PROCESS_END.last(ended)
    if simulating:
        _leave(ended)
    sys.exit(ended)
