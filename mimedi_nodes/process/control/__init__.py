# SPDX-License-Identifier: Apache-2.0
"""In-process control: forecasts and the rules that adjust feed, harvest and infection."""
