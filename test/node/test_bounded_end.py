# SPDX-License-Identifier: Apache-2.0
"""A process whose middleware does not end is ended, with the status that it has earned."""

import subprocess
import sys
import textwrap

import pytest

LIMIT_S = 60.0


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.parametrize("status", [0, 1])
def test_ends_though_the_interpreter_is_locked(status: int) -> None:
    """`PyDLL` keeps the interpreter's lock during the call, as rclpy does while it destroys a node."""
    ended = _run(f"""
        import ctypes
        from mimedi_nodes.nodes.frame.bounded_end import end_within
        end_within(0.4, {status})
        ctypes.PyDLL(None).sleep(600)
        raise SystemExit(7)
    """)
    assert ended.returncode == status, ended.stderr
    assert 'File "<string>", line 5' in ended.stderr, ended.stderr


def test_node_that_ends_in_time_is_left_alone() -> None:
    """The usual end: its own status, nothing said."""
    ended = _run("""
        import sys
        from mimedi_nodes.nodes.frame.bounded_end import PROCESS_END
        PROCESS_END.only_middleware_left()  # no run_node: the process goes on
        PROCESS_END.status = 0
        PROCESS_END.only_middleware_left()
        sys.exit(3)
    """)
    assert (ended.returncode, ended.stderr) == (3, "")


def test_node_whose_middleware_locks_up_has_done_its_part_first() -> None:
    """What the node closes itself is closed before the limit begins to run; then the process ends with 0."""
    ended = _run("""
        import ctypes, os, signal, threading
        from rclpy.node import Node
        from mimedi_nodes.nodes.frame import bounded_end
        from mimedi_nodes.nodes.frame import managed_node
        from mimedi_nodes.nodes.frame import running
        bounded_end.MIDDLEWARE_S = 1.0
        Node.destroy_node = lambda self: ctypes.PyDLL(None).sleep(600)
        class Closing(managed_node.ManagedNode):
            def destroy_node(self):
                print("closed", flush=True)
                super().destroy_node()
        def make():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            return Closing("closing")
        raise SystemExit(running.run_node(make) + 5)
    """)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "closed\n", ended.stdout
    assert "Timeout" in ended.stderr, ended.stderr


def test_command_whose_middleware_locks_up_ends_with_its_own_status() -> None:
    """A command's nodes leave last, when its status is known; what it printed is not lost."""
    ended = _run("""
        import ctypes
        from mimedi_nodes.nodes.frame import bounded_end
        bounded_end.MIDDLEWARE_S = 0.4
        class Locked:
            def destroy_node(self):
                ctypes.PyDLL(None).sleep(600)
        end = bounded_end.PROCESS_END
        end.keep_nodes()
        end.leave(Locked(), None)
        print("held")
        end.last(3)
    """)
    assert (ended.returncode, ended.stdout) == (3, "held\n"), ended.stderr
