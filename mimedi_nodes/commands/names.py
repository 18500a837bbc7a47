# SPDX-License-Identifier: Apache-2.0
"""The names of all commands, with what each needs; imports nothing, so that the bootstrap can read it first."""

WITH_ROS = (
    "demo", "produce", "status", "watch", "alarms", "answer", "pause", "resume", "hold", "restart", "stop", "abort",
    "replay", "dashboard", "web", "sim",
)  # fmt: skip
"""Commands that need the built interfaces."""
WITHOUT_ROS = (
    "simulate", "recipe", "verify", "report", "track", "segment", "check-physics",
    "user", "sign", "release", "lab", "review", "export", "backup", "restore", "label", "maintenance", "completion",
    "view", "chip", "schedule",
)  # fmt: skip
"""Commands that need the libraries alone."""
LOCAL_ONLY = ("demo",)
"""Commands whose ROS graph stays on this machine."""
BOOTSTRAP = ("setup", "up", "test", "exec", "clean", "lock", "help")
"""What `./workcell` does by itself."""
MODULE_OF = {name: "procedure" for name in ("pause", "resume", "hold", "restart", "stop", "abort")} | {
    "restore": "backup", "backup": "backup",
}  # fmt: skip
"""The file of a command where it is not the command's own name."""
COMMANDS = (*WITH_ROS, *WITHOUT_ROS)
