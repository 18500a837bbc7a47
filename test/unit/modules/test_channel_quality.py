# SPDX-License-Identifier: Apache-2.0
"""A channel whose quality falls is alarmed; one that is sound again clears it. The fit itself finds the quality."""

from dataclasses import replace

import numpy as np
import pytest

from mimedi_nodes.modules.acoustic_sorter.transducer_fit import DryChannelError, FitError, fit_transducer
from mimedi_nodes.modules.acoustic_sorter.tune import LEAST_CHANNEL_Q, Q_LOW, watch_quality
from mimedi_sim.models.piezo import TransducerModel

FREQUENCY_HZ = np.linspace(1.9e6, 2.1e6, 401)


class Alarms:
    """Collects what is alarmed."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}

    def alarm(self, alarm_id: str, message: str) -> None:
        self.standing[alarm_id] = message

    def clear_alarm(self, alarm_id: str) -> None:
        self.standing.pop(alarm_id, None)


def fit_of(model: TransducerModel):
    return fit_transducer(FREQUENCY_HZ, model.at(25.0).impedance_ohm(FREQUENCY_HZ), 2.009e6)


def test_the_resonance_is_the_channels_and_not_the_plates():
    fit = fit_of(TransducerModel())
    assert fit.channel_hz == pytest.approx(2.0093e6, abs=2_000.0)
    assert fit.channel_q == pytest.approx(100.0, rel=0.1)
    assert abs(fit.channel_hz - fit.pzt_hz) > 2.0e4


def test_a_fall_of_the_quality_is_alarmed_and_its_return_clears_it():
    alarms, sound = Alarms(), fit_of(TransducerModel())
    watch_quality(sound, alarms)  # type: ignore[arg-type]
    assert alarms.standing == {}
    watch_quality(replace(sound, channel_q=LEAST_CHANNEL_Q - 1.0), alarms)  # type: ignore[arg-type]
    assert "59" in alarms.standing[Q_LOW]
    watch_quality(sound, alarms)  # type: ignore[arg-type]
    assert alarms.standing == {}


def test_a_dry_channel_is_refused():
    with pytest.raises(DryChannelError):
        fit_of(replace(TransducerModel(), channel_filled=False))


def test_a_bubble_is_refused_or_alarmed_but_never_taken_for_sound():
    alarms = Alarms()
    try:
        watch_quality(fit_of(replace(TransducerModel(), bubble=True)), alarms)  # type: ignore[arg-type]
    except FitError:
        return
    assert Q_LOW in alarms.standing
