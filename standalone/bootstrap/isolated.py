# SPDX-License-Identifier: Apache-2.0
"""Run a command in a DDS domain that no other test on this machine uses.

`python -m standalone.bootstrap.isolated COMMAND…`, in the environment of the project. The domain is held by
`domain_coordinator`, as `colcon test` on a ROS host does it, so that both can run at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def main(command: list[str]) -> int:
    """Run the command with its own ROS_DOMAIN_ID; returns its exit status, 128 + n when signal n ended it."""
    from domain_coordinator import domain_id

    with domain_id() as domain:
        child = subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(domain)})
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())  # nothing is left when the suite's deadline is over
        while True:
            try:
                status = child.wait()
                break
            except KeyboardInterrupt:
                continue  # the child has had it too, and ends in its own order
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
