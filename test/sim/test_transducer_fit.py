# SPDX-License-Identifier: Apache-2.0
"""The production fit against the twin's transducer: right resonance, honest uncertainty, no channel in a dry chip."""

from __future__ import annotations

import numpy as np
import pytest

from mimedi_nodes.modules.acoustic_sorter.transducer_fit import DryChannelError, FitError, fit_transducer
from mimedi_sim.models.piezo import TransducerModel

SWEEP_HZ = np.linspace(1.9e6, 2.15e6, 401)
START_HZ = 2.009e6


def measured(seed: int, temperature_c: float = 25.0, **changes) -> np.ndarray:
    """Return a sweep of the twin's transducer with the analyser's noise of PHYSICS §3: 0.1 % and 0.1 degrees."""
    random = np.random.default_rng(seed)
    impedance = TransducerModel(**changes).at(temperature_c).impedance_ohm(SWEEP_HZ)
    noise = 1.0 + 1e-3 * random.standard_normal(len(SWEEP_HZ))
    return impedance * noise * np.exp(1j * np.deg2rad(0.1) * random.standard_normal(len(SWEEP_HZ)))


@pytest.mark.parametrize("temperature_c", [20.0, 25.0, 28.0, 31.0])
def test_the_channel_is_found_where_it_is_and_not_at_the_plates_maximum(temperature_c):
    truth_hz = TransducerModel().channel_resonance_hz(temperature_c)
    fit = fit_transducer(SWEEP_HZ, measured(1, temperature_c), START_HZ)
    assert fit.channel_hz == pytest.approx(truth_hz, abs=500.0)
    assert fit.channel_hz - fit.pzt_hz > 5e3
    assert fit.channel_q == pytest.approx(100.0, rel=0.1)
    assert fit.admittance_s == pytest.approx(1.0 / measured(1, temperature_c), rel=0.01)


def test_in_buffer_at_25_degrees_it_is_the_reference_value():
    assert fit_transducer(SWEEP_HZ, measured(2), START_HZ).channel_hz == pytest.approx(2.0093e6, abs=2e3)


def test_the_standard_uncertainty_is_honest():
    truth_hz = TransducerModel().channel_resonance_hz(25.0)
    fits = [fit_transducer(SWEEP_HZ, measured(seed), START_HZ) for seed in range(60)]
    scores = [(fit.channel_hz - truth_hz) / fit.channel_sd_hz for fit in fits]
    assert 0.7 < np.std(scores) < 1.4
    assert abs(np.mean(scores)) < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_a_dry_channel_is_refused(seed):
    with pytest.raises(DryChannelError, match="fill the chip"):
        fit_transducer(SWEEP_HZ, dry(seed), START_HZ)


def dry(seed: int) -> np.ndarray:
    """Return a sweep of the plate alone."""
    return measured(seed, channel_filled=False)


def test_what_is_no_transducer_is_refused():
    cable = 1.0 / (2j * np.pi * SWEEP_HZ * 100e-12)
    with pytest.raises(FitError):
        fit_transducer(SWEEP_HZ, cable, START_HZ)
    with pytest.raises(FitError, match="at least 51"):
        fit_transducer(SWEEP_HZ[:20], measured(1)[:20], START_HZ)
    with pytest.raises(FitError, match="unusable"):
        fit_transducer(SWEEP_HZ, np.full(len(SWEEP_HZ), np.nan + 0j), START_HZ)
