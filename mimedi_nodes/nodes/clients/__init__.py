# SPDX-License-Identifier: Apache-2.0
"""Clients of a running workcell, for commands and the web page."""
