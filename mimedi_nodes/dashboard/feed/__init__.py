# SPDX-License-Identifier: Apache-2.0
"""What boards show: from the graph and from the records, as plain values."""
