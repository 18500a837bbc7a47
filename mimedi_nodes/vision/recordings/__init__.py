# SPDX-License-Identifier: Apache-2.0
"""Recorded movies and image sets in, tables and pictures out."""
