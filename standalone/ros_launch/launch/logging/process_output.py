# SPDX-License-Identifier: Apache-2.0
"""Which lines of a child go to the screen and to which files."""

import codecs
import os
import time
from collections.abc import Callable, Iterable

from .config import launch_config

SINKS = frozenset({'screen', 'log', 'own_log'})
STREAMS = ('stdout', 'stderr')
OUTPUT_VARIABLE = 'OVERRIDE_LAUNCH_PROCESS_OUTPUT'

_MODES: dict[str, dict[str, set[str]]] = {
    'screen': {'both': {'screen'}},
    'log': {'both': {'log'}, 'stderr': {'screen'}},
    'both': {'both': {'log', 'screen'}},
    'own_log': {'both': {'own_log'}, 'stdout': {'own_log'}, 'stderr': {'own_log'}},
    'full': {
        'both': {'screen', 'log', 'own_log'},
        'stdout': {'own_log'},
        'stderr': {'own_log'},
    },
}

OutputConfig = str | dict[str, str | Iterable[str]]


def normalize_output(output: OutputConfig) -> dict[str, set[str]]:
    """Return `output`, a mode's name or a mapping from stream to sinks, as stream → sinks.

    Raises:
        ValueError: for an unknown mode, stream or sink.
    """
    if isinstance(output, str):
        if output not in _MODES:
            raise ValueError(f"'{output}' is not a valid standard output config, expected one of {list(_MODES)}")
        return {source: set(sinks) for source, sinks in _MODES[output].items()}
    config: dict[str, set[str]] = {}
    for source, sinks in output.items():
        if source not in (*STREAMS, 'both'):
            raise ValueError(f"'{source}' is not a valid output source, expected one of stdout, stderr, both")
        chosen = {sinks} if isinstance(sinks, str) else set(sinks)
        if not chosen <= SINKS:
            raise ValueError(f'{sorted(chosen - SINKS)} are not valid output sinks, expected {sorted(SINKS)}')
        config[source] = chosen
    return config


class OutputRouter:
    """Cuts the output of one process into lines and writes each line where the mode says."""

    def __init__(
        self, process_name: str, output: OutputConfig, format_line: Callable[[str], str], *, cached: bool = False
    ) -> None:
        """Take the process' full name, its mode, the line format, and whether to write only at the end."""
        config = normalize_output(os.environ.get(OUTPUT_VARIABLE) or output)
        self._name = process_name
        self._format_line = format_line
        self._cached = cached
        both = config.get('both', set())
        self._sinks = {stream: both | config.get(stream, set()) for stream in STREAMS}
        self._own_both = 'own_log' in both
        self._own = {stream: 'own_log' in config.get(stream, set()) for stream in STREAMS}
        # A character may be cut in two by the pipe.
        self._decoders = {stream: codecs.getincrementaldecoder('utf-8')('replace') for stream in STREAMS}
        self._pending = dict.fromkeys(STREAMS, '')

    def feed(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream ('stdout' or 'stderr'); write the lines that are complete."""
        text = self._pending[stream] + self._decoders[stream].decode(data)
        if self._cached:
            self._pending[stream] = text
            return
        lines = text.split('\n')
        self._pending[stream] = lines.pop()
        self._write(stream, lines)

    def finish(self) -> None:
        """Write what is left: the process has ended."""
        for stream in STREAMS:
            text = self._pending[stream] + self._decoders[stream].decode(b'', final=True)
            self._pending[stream] = ''
            if text:
                self._write(stream, text.removesuffix('\n').split('\n'))

    def _write(self, stream: str, lines: list[str]) -> None:
        if not lines:
            return
        formatted = [self._format_line(line.removesuffix('\r')) for line in lines]
        if 'screen' in self._sinks[stream]:
            launch_config.write_screen(''.join(f'{line}\n' for line in formatted))
        if 'log' in self._sinks[stream]:
            now = time.time()
            launch_config.log_file().write(''.join(f'{now:.7f} {line}\n' for line in formatted))
        raw = ''.join(f'{line}\n' for line in formatted)
        if self._own_both:
            launch_config.log_file(f'{self._name}.log').write(raw)
        if self._own[stream]:
            launch_config.log_file(f'{self._name}-{stream}.log').write(raw)
