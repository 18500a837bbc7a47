# SPDX-License-Identifier: Apache-2.0
"""Giving tests what they name as arguments."""

import functools
import inspect
import unittest
from collections.abc import Callable, Iterator, Mapping
from typing import Any

INSTANCE_METHODS = ('setUp', 'tearDown')
CLASS_METHODS = ('setUpClass', 'tearDownClass')


def matching(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that the function takes by name."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in values.items() if name in names}


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Return the test cases of a suite."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        elif isinstance(test, unittest.TestCase):
            yield test


def inject(suite: unittest.TestSuite, arguments: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Bind `arguments` to the tests and fixtures that name them; set `attributes` on every test."""
    for test in flatten(suite):
        for name in (test._testMethodName, *INSTANCE_METHODS):
            method = getattr(test, name)
            given = matching(method, arguments)
            if given:
                setattr(test, name, functools.partial(method, **given))
        for name in CLASS_METHODS:
            method = getattr(type(test), name)
            given = matching(method, arguments)
            if given:
                setattr(type(test), name, functools.partial(method, **given))
        for name, value in attributes.items():
            setattr(test, name, value)
