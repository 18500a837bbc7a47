# SPDX-License-Identifier: Apache-2.0
"""The report of a batch: what is told, in which words, with which plots."""
