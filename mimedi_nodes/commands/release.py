# SPDX-License-Identifier: Apache-2.0
"""`workcell release BATCH`: the responsible pharmacist's signature."""

from .sign import release as main

__all__ = ["main"]
