# SPDX-License-Identifier: Apache-2.0
"""What the transduction module and the incubator have in common: a bioreactor controller and how a culture is kept."""
