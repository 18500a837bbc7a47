# SPDX-License-Identifier: Apache-2.0
"""Colours and sizes: grey is normal, colour is abnormal and never alone (a word or a shape says the same).

Source: ANSI/ISA-101.01 (grey background, saturated colour for alarms only) and ISA-18.2 (one colour and shape a
priority). Letters: 10 mm cap height is read at 3 m. A 24-inch screen with 800 rows has 0.4 mm a pixel and DejaVu's
capitals are 0.73 of its size, so that what must be read from there has 34 px and more; all sizes grow with the window.
"""

from __future__ import annotations

from ..views import AlarmPriority

BACKGROUND = "#d4d4d2"
PANEL = "#e2e2e0"
LINE = "#a8a8a6"
TEXT = "#202020"
MUTED = "#5a5a58"
GAUGE = "#6b7684"
TROUGH = "#bdbdbb"
STALE = "#767674"
HELD = "#f2c400"

PRIORITY_COLOUR = {AlarmPriority.HIGH: "#c8102e", AlarmPriority.MEDIUM: "#e87400", AlarmPriority.LOW: "#d9b500"}
PRIORITY_MARK = {AlarmPriority.HIGH: "■", AlarmPriority.MEDIUM: "▲", AlarmPriority.LOW: "▼"}

REFERENCE_ROWS = 800
LETTERS_PX = {"far": 36, "state": 28, "mid": 24, "question": 20, "alarm": 18, "mark": 28, "small": 14, "title": 14}
"""Size of each role's letters in a window of 800 rows; other text has 16."""
_BOLD = {"far", "state", "mid", "question", "title"}
_MUTED = {"small", "title"}


def scale_for(rows: int) -> float:
    """Return the scale of a window of so many rows, in steps of a tenth so that dragging its edge is cheap."""
    return min(max(round(10.0 * rows / REFERENCE_ROWS) / 10.0, 0.7), 3.0)


def style(scale: float) -> str:
    """Return the style sheet at a scale, 1.0 being a window of 800 rows."""

    def px(size: float) -> str:
        return f"{round(size * scale)}px"

    roles = "\n".join(
        f'QLabel[role="{role}"] {{ font-size: {px(size)}; font-weight: {"bold" if role in _BOLD else "normal"};'
        f" color: {MUTED if role in _MUTED else TEXT}; }}"
        for role, size in LETTERS_PX.items()
    )
    priorities = "\n".join(
        f'QLabel[attention="{priority.name.lower()}"] {{ background: {colour}; border-color: {colour};'
        f" color: {'white' if priority is AlarmPriority.HIGH else 'black'}; }}"
        for priority, colour in PRIORITY_COLOUR.items()
    )
    return f"""
QWidget {{ font-family: "DejaVu Sans", "Noto Sans", sans-serif; font-size: {px(16)}; color: {TEXT}; }}
QWidget[board="true"], QDialog {{ background: {BACKGROUND}; }}
QFrame[panel="true"] {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 3px; }}
{roles}
QLabel[attention] {{ border: 2px solid transparent; padding: 0 4px; }}
QLabel[attention="held"] {{ background: {HELD}; color: black; border-color: black; }}
{priorities}
QLabel[unacknowledged="true"] {{ font-weight: bold; }}
QFrame[stale="true"] {{ border: 2px dashed {STALE}; }}
QFrame[stale="true"] QLabel {{ color: {STALE}; }}
QFrame[stale="true"] QProgressBar::chunk {{ background: {LINE}; }}
QLabel[attention="stale"] {{ color: {STALE}; border: 2px dashed {STALE}; }}
QProgressBar {{ background: {TROUGH}; border: 1px solid {LINE}; border-radius: 2px; text-align: center;
  min-height: {px(26)}; max-height: {px(26)}; }}
QProgressBar[thin="true"] {{ min-height: {px(7)}; max-height: {px(7)}; }}
QProgressBar::chunk {{ background: {GAUGE}; }}
QPushButton {{ background: #f4f4f2; border: 1px solid #777; border-radius: 3px; padding: 4px 12px;
  min-height: {px(32)}; }}
QPushButton:hover {{ background: white; }}
QPushButton:focus {{ border: 2px solid {TEXT}; }}
QPushButton:pressed {{ background: #c8c8c6; }}
QPushButton:disabled {{ background: {BACKGROUND}; color: #9a9a98; border-color: #b4b4b2; }}
QLineEdit {{ background: white; border: 1px solid #777; padding: 4px; min-height: {px(24)}; }}
QLineEdit[missing="true"] {{ border: 3px solid {PRIORITY_COLOUR[AlarmPriority.MEDIUM]}; }}
QScrollArea {{ border: none; background: transparent; }}
QTableView, QTreeView, QListView {{ background: #f0f0ee; alternate-background-color: {PANEL}; border: 1px solid {LINE};
  selection-background-color: #b6b6b4; selection-color: {TEXT}; }}
QTableView::item {{ padding: 3px 2px; }}
QTableView:focus, QTreeView:focus, QListView:focus {{ border: 2px solid {TEXT}; }}
QHeaderView::section {{ background: {PANEL}; border: none; border-bottom: 1px solid {LINE}; padding: 3px 6px;
  font-weight: bold; color: {MUTED}; }}
QComboBox {{ background: #f4f4f2; border: 1px solid #777; border-radius: 3px; padding: 2px 8px 2px 8px;
  min-height: {px(26)}; }}
QComboBox QAbstractItemView {{ background: #f4f4f2; selection-background-color: #b6b6b4; selection-color: {TEXT}; }}
QTabWidget[boards="true"] {{ background: {BACKGROUND}; }}
"""
