# SPDX-License-Identifier: Apache-2.0
"""The commands of ./workcell: one file a command."""
