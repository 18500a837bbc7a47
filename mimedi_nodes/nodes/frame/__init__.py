# SPDX-License-Identifier: Apache-2.0
"""What every node stands on: lifecycle, spinning, clocks, qualities of service, messages."""
