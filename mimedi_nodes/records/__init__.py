# SPDX-License-Identifier: Apache-2.0
"""The batch record: events, durable outboxes, the hash-chained record, its signed heads, facts and report.

Designed to support the record keeping that 21 CFR Part 11 and EU GMP Annex 11 ask for; a site validates it.
"""
