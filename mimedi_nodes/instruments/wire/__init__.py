# SPDX-License-Identifier: Apache-2.0
"""The byte links and the protocols on them, below the drivers."""
