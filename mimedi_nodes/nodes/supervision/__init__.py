# SPDX-License-Identifier: Apache-2.0
"""The parts of the supervisor: bringing up, watching, alarms."""
