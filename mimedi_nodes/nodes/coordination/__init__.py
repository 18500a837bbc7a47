# SPDX-License-Identifier: Apache-2.0
"""The parts of the coordinator: orders, batches, and its doors to modules, people and laboratory."""
