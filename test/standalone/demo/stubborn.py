# SPDX-License-Identifier: Apache-2.0
"""A process that ignores SIGINT and SIGTERM and says when they come."""

import signal
import time


def tell(number, _frame):
    """Say it."""
    print('got', signal.Signals(number).name, flush=True)


signal.signal(signal.SIGINT, tell)
signal.signal(signal.SIGTERM, tell)
print('ignoring', flush=True)
while True:
    time.sleep(60)
