# SPDX-License-Identifier: Apache-2.0
"""Node tests run side by side: each worker has a DDS domain of its own."""

import os

import pytest
from domain_coordinator import domain_id


@pytest.fixture(scope="session", autouse=True)
def own_domain():
    """Hold a domain for a worker of pytest-xdist; a run without workers has got its own from whoever started it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with domain_id() as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        yield
