# SPDX-License-Identifier: Apache-2.0
"""The drill: two patients, a leak, a wrong cassette, a power cut; one page at its end."""
