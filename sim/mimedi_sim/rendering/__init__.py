# SPDX-License-Identifier: Apache-2.0
"""The cameras of the twin: cells in a channel, drawn in bright field and two colours."""
