# SPDX-License-Identifier: Apache-2.0
"""What the six boards cost, all visible at once, while a recorded batch is played to them.

    ./workcell exec python bench/dashboard.py runs/BATCH [--seconds 30] [--json]

Prints the share of one core that the boards' process uses (user and system time over wall time), without its start-up,
the longest time for which Qt's thread did not come back to its loop, the processor time of the longest event, and whose
it was (on a busy machine the thread waits for others, too).
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import domain_coordinator

from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.live import Live
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.window import SWITCH_S
from mimedi_nodes.nodes.recording.replay import read_recording


class Application(QtWidgets.QApplication):
    """Notes the event that took the most processor time: (seconds, its receiver)."""

    def __init__(self):
        super().__init__([])
        self.longest = (0.0, "")
        self._inside = False

    def notify(self, receiver, event):
        if self._inside:  # part of an event that is timed already
            return super().notify(receiver, event)
        whose = f"{type(receiver).__name__} {receiver.objectName()}, event {int(event.type())}"
        self._inside, begun_s = True, time.thread_time()
        try:
            return super().notify(receiver, event)
        finally:
            self._inside = False
            self.longest = max(self.longest, (time.thread_time() - begun_s, whose))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the batch is played [s]")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    times = [message.received_s for message in read_recording(given.run / "topics.mcap")]
    speed = (times[-1] - times[0]) / given.seconds
    with domain_coordinator.domain_id() as number:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        found = measure(given.run, speed, given.seconds)
    found |= {"messages": len(times), "messages_per_s": round(len(times) / given.seconds, 1)}
    print(json.dumps(found) if given.json else "\n".join(f"{name:<24} {value}" for name, value in found.items()))


def measure(run, speed, seconds):
    """Play the batch to six visible boards; return what it cost."""
    application = Application()
    live = Live("", None, [], run.parent)
    shown = [boards.make(name, live.modules, run.parent) for name in boards.SIX]
    for board in shown:
        board.resize(1280, 800)
        board.show()
        live.add(board)
    player = [sys.executable, "-m", "mimedi_nodes.commands", "replay", str(run), "--speed", f"{speed}", "--wait", "20"]
    child = subprocess.Popen(player, stdout=subprocess.DEVNULL)
    warm_s = time.monotonic() + 5.0
    while time.monotonic() < warm_s:
        application.processEvents(QtCore.QEventLoop.AllEvents | QtCore.QEventLoop.WaitForMoreEvents, 50)
    sys.setswitchinterval(SWITCH_S)
    application.longest = (0.0, "")
    gaps = [time.monotonic()]
    timer = QtCore.QTimer()
    timer.timeout.connect(lambda: gaps.append(time.monotonic()))
    timer.start(20)
    begun_s, used_s = time.monotonic(), time.process_time()
    QtCore.QTimer.singleShot(round(1000.0 * (seconds - 6.0)), application.quit)
    application.exec_()
    wall_s, used_s = time.monotonic() - begun_s, time.process_time() - used_s
    for board in shown:
        if hasattr(board, "close_reader"):
            board.close_reader()
    live.close()
    for board in shown:  # before the application, which Qt does not outlive
        board.close()
        board.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    child.terminate()
    child.wait(20.0)
    longest_s = max(b - a for a, b in itertools.pairwise(gaps))
    busiest_s, whose = application.longest
    return {
        "core_share": round(used_s / wall_s, 4),
        "seconds": round(wall_s, 1),
        "longest_gap_ms": round(longest_s * 1e3),
        "longest_event_ms": round(busiest_s * 1e3, 1),
        "longest_event": whose,
    }


if __name__ == "__main__":
    main()
