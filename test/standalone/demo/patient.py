# SPDX-License-Identifier: Apache-2.0
"""A process with a helper of its own, both waiting; SIGINT ends it in order."""

import signal
import subprocess
import sys

# Waited for, not handled: a signal between a check and a blocking call would be noticed only after the call.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print('helper', helper.pid, 'arguments', sys.argv[1:], flush=True)
signal.sigwait({signal.SIGINT})
helper.kill()
helper.wait()
print('ended in order', flush=True)
