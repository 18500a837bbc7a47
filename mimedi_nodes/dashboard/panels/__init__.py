# SPDX-License-Identifier: Apache-2.0
"""What boards are made of: panels, plots, dialogs."""
