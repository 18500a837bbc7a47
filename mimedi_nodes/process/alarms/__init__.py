# SPDX-License-Identifier: Apache-2.0
"""Alarms and interlocks (ANSI/ISA-18.2-2016), from their rationalised tables."""
