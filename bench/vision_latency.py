# SPDX-License-Identifier: Apache-2.0
"""Time from an image's stamp to its tracks, over ROS: pictures of a process of its own, as a camera driver sends them.

    ./workcell exec python bench/vision_latency.py [--movie MOVIE.npz] [--rate-hz 300] [--seconds 10] [--json]

A publisher sends 512 x 128 pictures at the rate on `image_raw`, stamped when they are sent; this process takes them as
the vision module does (RosCamera, CellTracker) and looks at the clock when their tracks are there. Without a movie the
project's own renderer makes one (20 cells in view). Garbage collection and queueing are part of it; what other
processes do meanwhile too: look at `load`. What the code itself takes is told by processor time, from frame to frame:
of the thread that tracks (`thread_`) and of the whole process (`process_`: the image's way through DDS as well).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "unit" / "vision")]

WARM_FRAMES = 60
FIRST_FRAME_S = 30.0


def frames_of(movie: Path | None) -> tuple[Any, Any]:
    """Pictures (T, H, W) and the settings to track them with."""
    if movie is not None:
        from mimedi_nodes.vision.recordings.files import read_movie

        frames, _, settings = read_movie(movie)
        return frames, settings
    from vision_blobs import flow_movie, settings

    return flow_movie(frames=200, cells_per_frame=20.0, seed=11).movie, settings()


def send(frames: Any, rate_hz: float, number: int, go: Any, taken: Any) -> None:
    """Publish `number` pictures at a rate, and stay until they are taken; a movie that ends begins anew."""
    import array

    import rclpy
    from sensor_msgs.msg import Image
    from std_srvs.srv import SetBool

    from mimedi_nodes.nodes.frame import qos

    rclpy.init(args=[])
    node = rclpy.create_node("bench_camera")
    publisher = node.create_publisher(Image, "microscope/image_raw", qos.IMAGE)
    switched: list[bool] = []

    def switch(request: Any, response: Any) -> Any:
        switched.append(request.data)
        response.success = True
        return response

    node.create_service(SetBool, "microscope/set_capture", switch)
    go.set()
    while not switched:
        rclpy.spin_once(node, timeout_sec=0.05)
    rclpy.spin_once(node, timeout_sec=0.2)
    height, width = frames[0].shape
    due = time.monotonic()
    for k in range(number):
        image = Image(height=height, width=width, encoding="mono8", step=width)
        image.data = array.array("B", frames[k % len(frames)].tobytes())
        due += 1.0 / rate_hz
        time.sleep(max(0.0, due - time.monotonic()))
        image.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(image)
    taken.wait(FIRST_FRAME_S)
    node.destroy_node()
    rclpy.shutdown()


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Latency percentiles, ms, and what was lost."""
    import numpy as np
    import rclpy

    from mimedi_nodes.nodes.frame.clocks import NodeClock
    from mimedi_nodes.nodes.frame.event_loop import LoopThread
    from mimedi_nodes.nodes.module.ros_camera import RosCamera
    from mimedi_nodes.vision.tracking.tracker import CellTracker

    frames, settings = frames_of(options.movie)
    number = round(options.seconds * options.rate_hz) + WARM_FRAMES
    spawn = multiprocessing.get_context("spawn")
    go, taken = spawn.Event(), spawn.Event()
    sender = spawn.Process(target=send, args=(frames, options.rate_hz, number, go, taken))
    sender.start()
    rclpy.init(args=[])
    node = rclpy.create_node("bench_vision")
    loop = LoopThread("bench")
    camera = RosCamera(node, loop, NodeClock(), "microscope")
    tracker = CellTracker(settings)
    tracker.warm_up(list(frames[:WARM_FRAMES]))
    latency, work = [], []
    thread_s, process_s = [], []

    async def look() -> None:
        from mimedi_nodes.instruments.wire.link import ReplyTimeout

        await camera.set_capture(True)
        timeout_s = FIRST_FRAME_S
        while True:
            try:
                frame = await camera.next_frame(timeout_s)
            except ReplyTimeout:
                return
            timeout_s = 1.0
            begun = time.perf_counter()
            tracker.process(frame.bright_field, frame.stamp_s)
            work.append((time.perf_counter() - begun) * 1e3)
            latency.append((time.time() - frame.stamp_s) * 1e3)
            thread_s.append(time.thread_time())
            process_s.append(time.process_time())

    try:
        if not go.wait(FIRST_FRAME_S):
            raise RuntimeError("the publisher has not started")
        loop.submit(look()).result(FIRST_FRAME_S + 2.0 * options.seconds)
    finally:
        taken.set()
        camera.close()
        loop.stop()
        node.destroy_node()
        rclpy.shutdown()
        sender.join(5.0)
        if sender.is_alive():
            sender.terminate()
    seen = np.array(latency[WARM_FRAMES:])
    own = {f"{name}_p{share}_ms": float(np.percentile(np.diff(clock[WARM_FRAMES:]), share)) * 1e3
           for name, clock in (("thread", thread_s), ("process", process_s)) for share in (50, 99)}
    return {"rate_hz": options.rate_hz, "frames": len(seen), "lost": number - len(latency),
            "p50_ms": float(np.percentile(seen, 50)), "p99_ms": float(np.percentile(seen, 99)),
            "max_ms": float(seen.max()), "tracking_p50_ms": float(np.percentile(work, 50)),
            "tracking_p99_ms": float(np.percentile(work, 99)), **own, "load": os.getloadavg()[0]}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movie", type=Path, help="npz as `workcell track` takes it")
    parser.add_argument("--rate-hz", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found, indent=2) if options.json
          else "\n".join(f"{name:<18}{value:10.2f}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
