# SPDX-License-Identifier: Apache-2.0
"""What the cells say about the sample, with intervals."""
