# SPDX-License-Identifier: Apache-2.0
"""The inner loops of detection and tracking in C, compiled on the machine that runs them."""
