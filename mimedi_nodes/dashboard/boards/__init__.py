# SPDX-License-Identifier: Apache-2.0
"""The boards: one window or rqt plugin each."""
