# SPDX-License-Identifier: Apache-2.0
"""The software of the workcell; docs/architecture.md shows its rooms."""
