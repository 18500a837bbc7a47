# SPDX-License-Identifier: Apache-2.0
"""Units of the workcell: claimed by batches, taken in turn, planned in time."""
