# SPDX-License-Identifier: Apache-2.0
"""How boards look and speak: colours, sizes, words, languages."""
