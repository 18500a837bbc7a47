# SPDX-License-Identifier: Apache-2.0
"""The external laboratory of the twin: what it measures, and its signed results."""
