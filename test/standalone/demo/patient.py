# SPDX-License-Identifier: Apache-2.0
"""A process with a helper of its own, both waiting; SIGINT ends it in order."""

import subprocess
import sys
import time

helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
try:
    print('helper', helper.pid, 'arguments', sys.argv[1:], flush=True)
    while True:
        time.sleep(60)
except KeyboardInterrupt:
    helper.kill()
    helper.wait()
    print('ended in order', flush=True)
