# SPDX-License-Identifier: Apache-2.0
"""Chain of identity and custody: identifiers, labels, and whose material is where."""
