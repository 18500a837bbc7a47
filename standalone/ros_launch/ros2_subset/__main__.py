# SPDX-License-Identifier: Apache-2.0
"""`python -m ros2_subset …` is `ros2 …`."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
