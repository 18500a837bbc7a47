# SPDX-License-Identifier: Apache-2.0
"""Vision quality control: counts and measures the cells of a sample."""

from ..module import Module, Phase
from .inspect import inspect_sample
from .instruments import build
from .verify_focusing import verify_focusing

ERROR_BASE = 500

MODULE = Module(
    name="vision_qc",
    error_base=ERROR_BASE,
    phases=(
        Phase("InspectSample", inspect_sample, lambda goal: goal.timeout_s),
        Phase("VerifyFocusing", verify_focusing, lambda goal: goal.timeout_s),
    ),
    actuators=(),
    build=build,
)
