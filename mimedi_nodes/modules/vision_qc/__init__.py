# SPDX-License-Identifier: Apache-2.0
"""Vision quality control: counts and measures the cells of a sample."""

from ..module import Module, Phase
from .calibrate import calibrate_camera
from .inspect import inspect_sample
from .instruments import build
from .manual import ACTS
from .verify_focusing import verify_focusing

ERROR_BASE = 500
EXPECTED_CALIBRATION_S = 10.0

MODULE = Module(
    name="vision_qc",
    error_base=ERROR_BASE,
    phases=(
        Phase("CalibrateCamera", calibrate_camera, lambda goal: EXPECTED_CALIBRATION_S),
        Phase("InspectSample", inspect_sample, lambda goal: goal.timeout_s),
        Phase("VerifyFocusing", verify_focusing, lambda goal: goal.timeout_s),
    ),
    actuators=(),
    build=build,
    manual=ACTS,
)
