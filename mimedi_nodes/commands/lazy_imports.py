# SPDX-License-Identifier: Apache-2.0
"""Modules that are asked for but seldom used: their code is run only once something of them is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from importlib.util import LazyLoader, find_spec, module_from_spec

SELDOM_USED = ("numpy.ctypeslib", "numpy.f2py", "numpy.testing")
"""SciPy takes all that NumPy has (`from numpy import *` in its array_api_compat); a simulated batch uses none of these,
and they are a fifth of the time in which SciPy is loaded."""


def load_when_used(names: Iterable[str]) -> None:
    """Let the modules of these names, as far as they are not loaded yet, be loaded at the first look into them.

    Source: importlib.util.LazyLoader of the standard library.
    Raises: ModuleNotFoundError on one that is not installed.
    """
    for name in names:
        if name in sys.modules:
            continue
        parent, _, child = name.rpartition(".")
        above = importlib.import_module(parent) if parent else None
        if name in sys.modules:  # its parent has loaded it
            continue
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)
        spec.loader = LazyLoader(spec.loader)
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        if above is not None:
            setattr(above, child, module)  # as an import does; NumPy would else import it again at each look
