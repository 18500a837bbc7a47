# SPDX-License-Identifier: Apache-2.0
"""A process that fails with exit code 3."""

import sys

print('crashing', flush=True)
sys.exit(3)
