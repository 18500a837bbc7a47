# SPDX-License-Identifier: Apache-2.0
"""Camera and chip: scale, marks, lens, and the checks of a frame."""
