# SPDX-License-Identifier: Apache-2.0
"""What rqt gives a Python plugin, by its published interface, for machines on which rqt itself cannot be had.

rqt is neither on PyPI nor in Debian. A plugin meets of it: the base class `rqt_gui_py.plugin.Plugin` (a QObject made
with its context as parent), the context (serial number, arguments, dock widgets in a main window), and settings by
group. Where `rqt_gui_py` is installed its own base class is used.
Source: ros-visualization/rqt (rqt_gui_py/plugin.py, rqt_gui/ros_plugin_provider.py) and ros-visualization/qt_gui_core
(qt_gui/plugin.py, plugin_context.py, plugin_handler.py, settings.py).
"""

import importlib
import importlib.util
import sys
import types
from xml.etree import ElementTree

from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets


class Base(QtCore.QObject):
    """`qt_gui.plugin.Plugin`, and `rqt_gui_py.plugin.Plugin`, which adds nothing to it."""

    def __init__(self, context):
        super().__init__(context)
        self.setObjectName("Plugin")

    def shutdown_plugin(self):
        pass

    def save_settings(self, plugin_settings, instance_settings):
        pass

    def restore_settings(self, plugin_settings, instance_settings):
        pass


class Context(QtCore.QObject):
    """`qt_gui.plugin_context.PluginContext`: widgets become docks of the main window, which owns them then."""

    def __init__(self, window, serial_number, argv):
        super().__init__(window)
        self._window, self._serial_number, self._argv = window, serial_number, argv
        self.docks = {}

    def serial_number(self):
        return self._serial_number

    def argv(self):
        return self._argv

    def add_widget(self, widget):
        assert widget not in self.docks, "already added"
        assert widget.objectName(), "rqt keeps the dock's place under the widget's object name"
        dock = QtWidgets.QDockWidget(widget.windowTitle(), self._window)
        dock.setObjectName(f"dock_{widget.objectName()}")
        dock.setWidget(widget)
        self._window.addDockWidget(QtCore.Qt.LeftDockWidgetArea, dock)
        self.docks[widget] = dock

    def remove_widget(self, widget):
        dock = self.docks.pop(widget)
        widget.setParent(None)
        self._window.removeDockWidget(dock)
        dock.deleteLater()


class Settings:
    """`qt_gui.settings.Settings` on a file: everything comes back as text."""

    def __init__(self, file, group):
        self._settings, self._group = QtCore.QSettings(str(file), QtCore.QSettings.IniFormat), group

    def set_value(self, key, value):
        self._settings.setValue(f"{self._group}/{key}", value)

    def value(self, key, default_value=None):
        return self._settings.value(f"{self._group}/{key}", default_value)

    def contains(self, key):
        return self._settings.contains(f"{self._group}/{key}")


class Host:
    """Loads plugins by their manifest into one main window, saves and restores them, and unloads them."""

    def __init__(self, manifest, settings_file):
        self.window = QtWidgets.QMainWindow()
        self._file = settings_file
        root = ElementTree.parse(manifest).getroot()
        self.types = {entry.attrib["name"]: entry.attrib["type"] for entry in root.iter("class")}
        self.loaded = []

    def load(self, name, argv=()):
        """Load a plugin; returns it with its context, after its settings are restored as rqt does."""
        module, _, kind = self.types[name].rpartition(".")
        number = 1 + sum(known == name for known, *_ in self.loaded)
        context = Context(self.window, number, list(argv))
        plugin = getattr(importlib.import_module(module), kind)(context)
        plugin.restore_settings(*self._settings(name, number))
        self.loaded.append((name, number, plugin, context))
        return plugin, context

    def unload_all(self):
        """Save, shut down and delete every plugin, as rqt does at its end."""
        for name, number, plugin, context in self.loaded:
            plugin.save_settings(*self._settings(name, number))
            plugin.shutdown_plugin()
            for widget in list(context.docks):
                context.remove_widget(widget)
                widget.deleteLater()
            plugin.deleteLater()
        self.loaded.clear()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)

    def _settings(self, name, number):
        return Settings(self._file, f"{name}/plugin"), Settings(self._file, f"{name}__{number}/plugin")


def provide_base(monkeypatch):
    """Put the published base class where plugins look for it, unless rqt is installed."""
    if importlib.util.find_spec("rqt_gui_py") is not None:
        return
    package, module = types.ModuleType("rqt_gui_py"), types.ModuleType("rqt_gui_py.plugin")
    module.Plugin = package.plugin = Base
    monkeypatch.setitem(sys.modules, "rqt_gui_py", package)
    monkeypatch.setitem(sys.modules, "rqt_gui_py.plugin", module)
