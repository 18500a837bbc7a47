# SPDX-License-Identifier: Apache-2.0
"""The simulated plant: vessels, devices, cells and a laboratory behind the instruments' wires."""
