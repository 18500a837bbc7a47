# SPDX-License-Identifier: Apache-2.0
"""The log folder, the level and the formats of one run."""

import contextlib
import datetime
import logging
import os
import socket
import sys
from pathlib import Path
from typing import IO

SCREEN_FORMAT = '[{levelname}] [{name}]: {message}'
LOG_FORMAT = '{created:.7f} [{levelname}] [{name}] {message}'
SCREEN_FORMAT_VARIABLE = 'OVERRIDE_LAUNCH_SCREEN_FORMAT'
LOG_FORMAT_VARIABLE = 'OVERRIDE_LAUNCH_LOG_FORMAT'


def _override(variable: str, default: str) -> str:
    text = os.environ.get(variable, '')
    if not text or text == 'default':
        return default
    # Upstream writes {msg} where Python's logging says {message}.
    return text.replace('{msg}', '{message}')


class _ScreenHandler(logging.Handler):
    """Writes to whatever sys.stdout is at the moment of writing (test runners replace it)."""

    def emit(self, record: logging.LogRecord) -> None:
        self.write(self.format(record) + '\n')

    @staticmethod
    def write(text: str) -> None:
        # A closed pipe behind the screen must not keep launch from stopping its children.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(text)
            sys.stdout.flush()


class LaunchConfig:
    """Shared by all loggers of this process."""

    def __init__(self) -> None:
        """Start with level INFO; the folder is made when the first line is written."""
        self._level = logging.INFO
        self._log_dir: Path | None = None
        self._files: dict[str, IO[str]] = {}
        self._loggers: dict[str, logging.Logger] = {}
        self._screen = _ScreenHandler()
        self._log = _FileHandler(self)

    @property
    def level(self) -> int:
        """Return the level below which nothing is written."""
        return self._level

    @level.setter
    def level(self, level: int | str) -> None:
        self._level = logging.getLevelName(level.upper()) if isinstance(level, str) else level
        for logger in self._loggers.values():
            logger.setLevel(self._level)

    @property
    def log_dir(self) -> str:
        """Return the log folder of this run, made on first use."""
        if self._log_dir is None:
            self._log_dir = _make_log_dir()
        return str(self._log_dir)

    @log_dir.setter
    def log_dir(self, path: str | Path) -> None:
        if self._files:
            raise RuntimeError(f'the log folder is in use already: {self._log_dir}')
        self._log_dir = Path(path)
        self._log_dir.mkdir(parents=True, exist_ok=True)

    def get_log_file_path(self, file_name: str = 'launch.log') -> str:
        """Return the path of a file in the log folder."""
        return os.path.join(self.log_dir, file_name)

    def get_logger(self, name: str | None = None) -> logging.Logger:
        """Return the logger of this name."""
        key = name or 'launch'
        if key not in self._loggers:
            # Not from logging.getLogger(): launch's lines must not depend on how an application or a
            # test runner has set up the root logger.
            logger = logging.Logger(key, self._level)
            logger.addHandler(self._screen)
            logger.addHandler(self._log)
            self._loggers[key] = logger
        return self._loggers[key]

    def write_screen(self, text: str) -> None:
        """Write whole lines to the screen as they are."""
        self._screen.write(text)

    def log_file(self, file_name: str = 'launch.log') -> IO[str]:
        """Return the open file of this name in the log folder."""
        if file_name not in self._files:
            self._files[file_name] = open(  # noqa: SIM115 - closed by reset()
                self.get_log_file_path(file_name), 'a', encoding='utf-8', buffering=1
            )
        return self._files[file_name]

    def screen_formatter(self) -> logging.Formatter:
        """Return the format of launch's own lines on the screen."""
        return logging.Formatter(_override(SCREEN_FORMAT_VARIABLE, SCREEN_FORMAT), style='{', validate=False)

    def reset(self) -> None:
        """Close all files and forget folder and level."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._log_dir = None
        self.level = logging.INFO
        self._screen.setFormatter(self.screen_formatter())


class _FileHandler(logging.Handler):
    """Writes launch's own lines into launch.log."""

    def __init__(self, config: LaunchConfig) -> None:
        super().__init__()
        self._config = config
        self.setFormatter(
            logging.Formatter(_override(LOG_FORMAT_VARIABLE, LOG_FORMAT), style='{', validate=False)
        )

    def emit(self, record: logging.LogRecord) -> None:
        self._config.log_file().write(self.format(record) + '\n')


def _make_log_dir() -> Path:
    base = os.environ.get('ROS_LOG_DIR')
    if base is None:
        base = os.path.join(os.environ.get('ROS_HOME') or os.path.join('~', '.ros'), 'log')
    root = Path(base).expanduser()
    stamp = datetime.datetime.now().strftime('%Y-%m-%d-%H-%M-%S-%f')
    path = root / f'{stamp}-{socket.gethostname()}-{os.getpid()}'
    path.mkdir(parents=True)
    latest = root / 'latest'
    # Several launches may start at once: rename() replaces the link atomically.
    temporary = root / f'.latest-{os.getpid()}'
    try:
        temporary.symlink_to(path.name)
        temporary.replace(latest)
    except OSError as error:
        sys.stderr.write(f"cannot point '{latest}' to this run's log folder: {error}\n")
        temporary.unlink(missing_ok=True)
    return path


launch_config = LaunchConfig()
launch_config.reset()
