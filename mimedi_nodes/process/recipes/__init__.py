# SPDX-License-Identifier: Apache-2.0
"""Master recipes (ISA-88): read, checked, approved, compared, priced."""
