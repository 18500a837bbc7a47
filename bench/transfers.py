# SPDX-License-Identifier: Apache-2.0
"""Random transfers from dock to dock: is any way refused, how long does planning take, how near does it come?

    ./workcell exec python bench/transfers.py --moves 1000

Any dock to any free dock, other cassettes anywhere else, from any pose at travel height before the modules. A way that
collides or leaves a limit raises, names the link, and ends the run with exit status 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from itertools import pairwise

from mimedi_nodes.modules.transfer.collision import CollisionChecker
from mimedi_nodes.modules.transfer.frames import RobotFrames
from mimedi_nodes.modules.transfer.kinematics import Kinematics, Pose
from mimedi_nodes.modules.transfer.motion import GRIP_HEIGHT_M, TRAVEL_Z_MM, approach
from mimedi_nodes.modules.transfer.planning import PathError, dock_plate, plan, transfer_way


def main() -> int:
    """Plan and check them; print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kinematics, chance = Kinematics(RobotFrames()), random.Random(options.seed)
    docks, begun, way_m, moving_s, segments = kinematics.model.docks, time.process_time(), 0.0, 0.0, 0
    for number in range(options.moves):
        source, destination = chance.sample(docks, 2)
        others = [d for d in docks if d not in (source, destination) and chance.random() < 0.5]
        way = transfer_way(source, destination, GRIP_HEIGHT_M, TRAVEL_Z_MM, kinematics)
        start = Pose(chance.uniform(-60.0, 0.0), chance.uniform(-1470.0, 0.0), TRAVEL_Z_MM)
        plates = [dock_plate(source), dock_plate(destination)]
        legs = (
            (CollisionChecker([*others, source], carried=False), [*approach(start, way["pick"][0]), way["pick"][1]]),
            (CollisionChecker(others, carried=True, may_touch=plates), way["carry"]),
            (CollisionChecker([*others, destination], carried=False), way["leave"]),
        )  # fmt: skip
        try:
            for checker, poses in legs:
                for first, second in pairwise(poses):
                    move = plan(first, second, kinematics)
                    checker.check(move)
                    segments += 1
                    moving_s += move.duration_s
                    way_m += float(sum((second.as_array()[:3] - first.as_array()[:3]) ** 2) ** 0.5)
        except PathError as error:
            print(f"transfer {number}, {source} to {destination} with {others}: {error}")
            return 1
    spent = time.process_time() - begun
    print(
        f"{options.moves} transfers, {segments} straight moves, {way_m:.0f} m, {moving_s / options.moves:.1f} s of "
        f"motion each; none collides or leaves a limit. Planned in {1e3 * spent / options.moves:.0f} ms each"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
