# SPDX-License-Identifier: Apache-2.0
"""One door to Qt: the binding that rqt has chosen where it is installed, else PyQt5."""

from __future__ import annotations

import os

try:
    from python_qt_binding import QT_BINDING, QtCore, QtGui, QtWidgets

    _binding = "PySide2" if QT_BINDING == "pyside" else "PyQt5"
except ImportError:  # a machine without a ROS distribution
    from PyQt5 import QtCore, QtGui, QtWidgets

    _binding = "PyQt5"

# pyqtgraph would otherwise take the first binding that it finds, and two bindings in one process crash it.
os.environ["PYQTGRAPH_QT_LIB"] = _binding
import pyqtgraph

Qt = QtCore.Qt
Signal = QtCore.Signal if hasattr(QtCore, "Signal") else QtCore.pyqtSignal

__all__ = ["Qt", "QtCore", "QtGui", "QtWidgets", "Signal", "pyqtgraph"]
