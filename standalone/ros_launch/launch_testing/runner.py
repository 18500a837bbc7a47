# SPDX-License-Identifier: Apache-2.0
"""Runs a launch test: launch, active tests, SIGINT, tests after the shutdown."""

import sys
import threading
import traceback
import unittest
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.entity import LaunchDescriptionEntity
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart

from launch import LaunchDescription, LaunchDescriptionSource, LaunchService

from .actions import ReadyToTest
from .injection import inject
from .io_handler import ActiveIoHandler
from .loader import LaunchTestFileError, TestRun
from .proc_info_handler import ActiveProcInfoHandler
from .results import RecordingResult, RunResult
from .util import KeepAliveProc

READY_TIMEOUT_S = 15.0
# How long active tests may go on after the system has ended under them.
LEFT_OVER_TESTS_S = 10.0


def _entities(entities: Iterable[LaunchDescriptionEntity]) -> Iterator[LaunchDescriptionEntity]:
    for entity in entities:
        yield entity
        yield from _entities(entity.describe_sub_entities())
        for _, conditional in entity.describe_conditional_sub_entities():
            yield from _entities(conditional)


class RunWorker:
    """Carries out one run; use once."""

    def __init__(self, run: TestRun, *, debug: bool = False) -> None:
        """Take the run."""
        self._run = run
        self._debug = debug
        self._ready = threading.Event()
        self._tests_done = threading.Event()
        self._launch_ended = threading.Event()
        self._proc_info = ActiveProcInfoHandler()
        self._proc_output = ActiveIoHandler()
        self._result = RunResult(run.describe())

    def run(self) -> RunResult:
        """Run everything in order and return the result; must be called in the main thread."""
        try:
            description, given, calls_ready = self._run.description(self._ready.set)
            self._connect_ready(description, calls_ready)
        except unittest.SkipTest as skip:
            self._result.skipped = str(skip)
            return self._result
        except Exception:  # noqa: BLE001 - test files are user code
            self._result.problem = traceback.format_exc()
            return self._result
        service = LaunchService(argv=[f'{key}:={value}' for key, value in self._run.test_args.items()],
                                noninteractive=True, debug=self._debug)
        service.include_launch_description(self._wrap(description))
        arguments = {
            'proc_info': self._proc_info, 'proc_output': self._proc_output, 'test_args': self._run.test_args
        }
        tests = threading.Thread(
            target=self._run_active, args=(service, {**arguments, **given}), name='active tests', daemon=True
        )
        tests.start()
        return_code = service.run()
        self._launch_ended.set()
        self._ready.set()  # the thread may still wait for it
        ended_early = not self._tests_done.is_set()
        tests.join(LEFT_OVER_TESTS_S)
        if not self._result.problem:
            if return_code != 0:
                self._result.problem = 'the launch ended with an error, see its output'
            elif ended_early:
                self._result.problem = 'Processes under test stopped before tests completed'
        if not ended_early:
            self._run_suite(self._run.suite(post_shutdown=True), {**arguments, **given})
        return self._result

    def _connect_ready(self, description: LaunchDescription, calls_ready: bool) -> None:
        actions = [entity for entity in _entities(description.entities) if isinstance(entity, ReadyToTest)]
        for action in actions:
            action._add_callback(self._ready.set)
        if not actions and not calls_ready:
            raise LaunchTestFileError(
                'generate_test_description functions without a ready_fn argument must return a '
                'LaunchDescription containing a ReadyToTest action'
            )

    def _wrap(self, description: LaunchDescription) -> LaunchDescription:
        def started(event: Any, _context: object) -> None:
            self._proc_info.append(event)
            self._proc_output.track(event)

        watch: list[LaunchDescriptionEntity] = [
            RegisterEventHandler(OnProcessStart(on_start=started)),
            RegisterEventHandler(OnProcessExit(on_exit=lambda event, _context: self._proc_info.append(event))),
            RegisterEventHandler(
                OnProcessIO(on_stdout=self._proc_output.append, on_stderr=self._proc_output.append)
            ),
        ]
        if self._run.keep_alive:
            watch.append(KeepAliveProc())
        source = LaunchDescriptionSource(description, location='')
        include = IncludeLaunchDescription(source, launch_arguments=list(self._run.test_args.items()))
        return LaunchDescription([*watch, include])

    def _run_active(self, service: LaunchService, arguments: Mapping[str, Any]) -> None:
        try:
            if not self._ready.wait(READY_TIMEOUT_S):
                self._result.problem = f'Timed out after {READY_TIMEOUT_S:g} s waiting for processes to start up'
                self._tests_done.set()
                return
            if self._launch_ended.is_set():
                return
            self._run_suite(
                self._run.suite(post_shutdown=False), {**arguments, 'launch_service': service}
            )
            self._tests_done.set()
        except BaseException:  # noqa: BLE001 - a broken test must still end the launch
            self._result.problem = traceback.format_exc()
        finally:
            service.shutdown()

    def _run_suite(self, suite: unittest.TestSuite, arguments: Mapping[str, Any]) -> None:
        attributes = {
            name: arguments[name]
            for name in ('proc_info', 'proc_output', 'test_args', 'launch_service')
            if name in arguments
        }
        inject(suite, arguments, attributes)
        runner = unittest.TextTestRunner(stream=sys.stderr, verbosity=2, resultclass=RecordingResult)
        outcome = runner.run(suite)
        assert isinstance(outcome, RecordingResult)
        self._result.cases += outcome.cases


def run_all(runs: Iterable[TestRun], *, debug: bool = False) -> list[RunResult]:
    """Carry out all runs, one after the other."""
    results: list[RunResult] = []
    for run in runs:
        result = RunWorker(run, debug=debug).run()
        if result.problem:
            print(f'{result.name}: {result.problem}', file=sys.stderr)
        results.append(result)
    return results
