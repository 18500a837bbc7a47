# SPDX-License-Identifier: Apache-2.0
"""Results as JUnit XML, for CI."""

from collections.abc import Iterable
from xml.etree import ElementTree

from .results import CaseResult, RunResult

_TAGS = {'failed': 'failure', 'error': 'error', 'skipped': 'skipped'}


def _cases(run: RunResult) -> list[CaseResult]:
    if run.problem:
        return [*run.cases, CaseResult(run.name, 'launch', 0.0, 'failed', run.problem)]
    if run.skipped:
        return [CaseResult(run.name, 'launch', 0.0, 'skipped', run.skipped)]
    return run.cases


def to_xml(name: str, runs: Iterable[RunResult]) -> ElementTree.ElementTree:
    """Return the results as a tree: one suite for each run."""
    root = ElementTree.Element('testsuites', name=name)
    totals = dict.fromkeys(('tests', 'failures', 'errors', 'skipped'), 0)
    total_s = 0.0
    for run in runs:
        cases = _cases(run)
        counts = {
            'tests': len(cases),
            'failures': sum(case.outcome == 'failed' for case in cases),
            'errors': sum(case.outcome == 'error' for case in cases),
            'skipped': sum(case.outcome == 'skipped' for case in cases),
        }
        duration_s = sum(case.duration_s for case in cases)
        total_s += duration_s
        suite = ElementTree.SubElement(
            root, 'testsuite', name=f'{name}.{run.name}', time=f'{duration_s:.3f}'
        )
        for key, value in counts.items():
            totals[key] += value
            suite.set(key, str(value))
        for case in cases:
            element = ElementTree.SubElement(
                suite, 'testcase', classname=f'{name}.{case.class_name}', name=case.name,
                time=f'{case.duration_s:.3f}',
            )
            if case.outcome in _TAGS:
                lines = case.message.strip().splitlines() or [case.outcome]
                detail = ElementTree.SubElement(element, _TAGS[case.outcome], message=lines[-1])
                detail.text = case.message
    for key, value in totals.items():
        root.set(key, str(value))
    root.set('time', f'{total_s:.3f}')
    return ElementTree.ElementTree(root)
