# SPDX-License-Identifier: Apache-2.0
"""The mark of tests that look at what is left after the launch."""

from collections.abc import Callable
from typing import Any, TypeVar

MARK = '__post_shutdown_test__'
TestClass = TypeVar('TestClass', bound=type)


def post_shutdown_test() -> Callable[[TestClass], TestClass]:
    """Decorate a TestCase that is to run after all processes have ended."""

    def decorate(test_class: TestClass) -> TestClass:
        setattr(test_class, MARK, True)
        return test_class

    return decorate


def is_post_shutdown(test: Any) -> bool:
    """Return whether a test runs after the launch."""
    return bool(getattr(test, MARK, False))
