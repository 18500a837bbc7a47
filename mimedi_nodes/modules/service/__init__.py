# SPDX-License-Identifier: Apache-2.0
"""A module's service: the MTP state machine around its phases, goals, safe values and manual acts."""
