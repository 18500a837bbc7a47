# SPDX-License-Identifier: Apache-2.0
"""The procedure engine: carries a recipe out, phase by phase, and survives its own death."""
