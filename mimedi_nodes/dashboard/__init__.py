# SPDX-License-Identifier: Apache-2.0
"""The operator's windows, as rqt plugins and by themselves."""
