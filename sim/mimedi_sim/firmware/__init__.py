# SPDX-License-Identifier: Apache-2.0
"""Instruments as the wire shows them: one protocol server a file."""
