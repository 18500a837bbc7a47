# SPDX-License-Identifier: Apache-2.0
"""The nodes: one file an executable, their parts in the rooms below."""
