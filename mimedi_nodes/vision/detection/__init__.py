# SPDX-License-Identifier: Apache-2.0
"""Cells in one frame: background, dark blobs, overlaps taken apart, what each looks like."""
