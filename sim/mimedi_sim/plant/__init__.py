# SPDX-License-Identifier: Apache-2.0
"""The simulated plant: vessels, devices, cells and a laboratory behind the instruments' wires."""

from mimedi_sim.plant.faults import FaultError
from mimedi_sim.plant.imaging import CameraFrame
from mimedi_sim.plant.twin import Plant

__all__ = ["CameraFrame", "FaultError", "Plant"]
