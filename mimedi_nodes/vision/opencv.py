# SPDX-License-Identifier: Apache-2.0
"""OpenCV without its type stubs: they differ between 4.6 and 5 and reject the scalars that its functions take."""

from __future__ import annotations

import importlib
from typing import Any

cv2: Any = importlib.import_module("cv2")
# Images of a channel are so small that sharing one among threads costs more than it gives.
cv2.setNumThreads(1)
