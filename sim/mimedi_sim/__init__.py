# SPDX-License-Identifier: Apache-2.0
"""The simulated plant: everything that lies behind the wires."""
