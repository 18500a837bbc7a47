# SPDX-License-Identifier: Apache-2.0
"""The overview as an rqt plugin; the only file that knows rqt."""

from __future__ import annotations

import argparse
from typing import Any

from rqt_gui_py.plugin import Plugin

from .live import LiveOverview

_NAMESPACE, _OPERATOR = "namespace", "operator"


class WorkcellPlugin(Plugin):
    """Shows one workcell; `--namespace` (in rqt: `rqt --args --namespace NAME`) chooses it and is remembered."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.setObjectName("WorkcellPlugin")
        parser = argparse.ArgumentParser(prog="workcell overview", add_help=False)
        parser.add_argument("--namespace", default="")
        given, _ = parser.parse_known_args(context.argv())
        self._context = context
        self._namespace: str = given.namespace
        self._chosen = bool(given.namespace)
        self._live = self._show()

    def _show(self) -> LiveOverview:
        live = LiveOverview(self._namespace, arguments=[])
        live.widget.setObjectName(f"overview_{self._context.serial_number()}")
        if self._context.serial_number() > 1:
            live.widget.setWindowTitle(f"{live.widget.windowTitle()} ({self._context.serial_number()})")
        self._context.add_widget(live.widget)
        return live

    def shutdown_plugin(self) -> None:
        """Leave the graph; called by rqt."""
        self._live.close()

    def save_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Keep namespace and operator's name; called by rqt."""
        instance_settings.set_value(_NAMESPACE, self._namespace)
        instance_settings.set_value(_OPERATOR, self._live.widget.operator.text())

    def restore_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Take up namespace, unless one was given on the command line, and operator's name; called by rqt."""
        kept = instance_settings.value(_NAMESPACE, "") or ""
        if not self._chosen and kept != self._namespace:
            self._live.close()
            self._context.remove_widget(self._live.widget)
            self._live.widget.deleteLater()
            self._namespace = kept
            self._live = self._show()
        self._live.widget.operator.setText(instance_settings.value(_OPERATOR, "") or "")
