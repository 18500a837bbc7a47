# SPDX-License-Identifier: Apache-2.0
"""The modules of the workcell: what each can do, phase by phase, and the service that runs phases."""
