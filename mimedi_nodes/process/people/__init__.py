# SPDX-License-Identifier: Apache-2.0
"""People: accounts, roles, signatures, the scripted operator, maintenance."""
