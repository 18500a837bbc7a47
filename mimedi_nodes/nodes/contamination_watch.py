# SPDX-License-Identifier: Apache-2.0
"""The contamination watch node."""

import sys
from pathlib import Path

from .module.module_node import run_module


def main() -> None:
    """Run the node."""
    sys.exit(
        run_module(
            "contamination_watch",
            lambda node: {"watch_file": lambda: Path(node.settings["state_dir"]) / "contamination_watch.json"},
        )
    )
