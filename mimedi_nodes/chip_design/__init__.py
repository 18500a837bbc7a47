# SPDX-License-Identifier: Apache-2.0
"""Design of acoustic chips: what a channel's width gives, and files for the laser cutter."""
