# SPDX-License-Identifier: Apache-2.0
"""Transfer of cassettes between docks by the gantry."""
