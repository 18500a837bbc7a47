# SPDX-License-Identifier: Apache-2.0
"""The whole workcell in one process on virtual time: the same phases, drivers and engine, no ROS, no waiting."""

from .run import HeadlessResult, HeadlessRun, run_batch
from .several import SeveralResult, run_batches

__all__ = ["HeadlessResult", "HeadlessRun", "SeveralResult", "run_batch", "run_batches"]
