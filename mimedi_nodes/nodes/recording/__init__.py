# SPDX-License-Identifier: Apache-2.0
"""The parts of the recorder: records, recordings of topics and pictures, reviews, replay."""
