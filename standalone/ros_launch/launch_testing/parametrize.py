# SPDX-License-Identifier: Apache-2.0
"""One test run for each of several parameter sets."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

PARAMETERS = '__launch_testing_parameters__'


def parametrize(argnames: Any, argvalues: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate generate_test_description to run once for each entry of `argvalues`.

    Args:
        argnames: one name, names separated by commas, or a list of names.
        argvalues: for one name its values, for more of them tuples.
    """
    words = argnames.split(',') if isinstance(argnames, str) else argnames
    names = [word.strip() for word in words if word.strip()]
    sets = [
        dict(zip(names, [values] if len(names) == 1 else values, strict=True)) for values in argvalues
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        inner = getattr(function, PARAMETERS, [{}])

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        setattr(wrapper, PARAMETERS, [{**outer_set, **inner_set} for outer_set in sets for inner_set in inner])
        return wrapper

    return decorate
