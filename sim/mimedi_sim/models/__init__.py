# SPDX-License-Identifier: Apache-2.0
"""Physics of the twin: pure functions and small state classes, without instruments, noise or I/O."""
