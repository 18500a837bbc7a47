# SPDX-License-Identifier: Apache-2.0
"""The part of the registry for enclosure, photon counting, force curves and sensorgrams (PHYSICS §7–§10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mimedi_sim.models import afm, bacteria, decontamination, enclosure, photon
from mimedi_sim.models.sequential_tests import Cusum, Sprt
from mimedi_sim.models.spr import Binding, theoretical_rmax_ru

Inputs = Mapping[str, Any]
Result = Mapping[str, float] | float

_CURVES_OF_A_MEAN = 60


def _particle_decay(i: Inputs) -> float:
    flow = enclosure.recirculated_m3_s(i["V"], i["ACH"])
    balance = enclosure.AirBalance(i["V"], i["S"] / 60.0, flow, i["eta_HEPA"])
    return balance.concentration_after(i["C0"], i["t"])


def _iso_limit(i: Inputs) -> Result:
    formula = enclosure.iso14644_formula_per_m3(i["N"], i["D"])
    return {"C_n (table value)": enclosure.iso14644_limit_per_m3(i["N"], i["D"]), "C_n": formula}


def _sprt(i: Inputs) -> Sprt:
    return Sprt(i["lambda0"], i["lambda1"], i["alpha"], i["beta"])


def _binding(i: Inputs) -> Binding:
    return Binding(i["k_a"], i["k_d"], i["R_max"], i.get("k_t", float("inf")))


def _dissociation(i: Inputs) -> float:
    binding = _binding(i)
    return binding.response_ru(binding.response_ru(0.0, i["C"], i["t_assoc"]), 0.0, i["t_dissoc"])


def _fitted_modulus(i: Inputs) -> float:
    probe = afm.Probe(radius_m=i["R"], force_noise_n=i["sigma_F"])
    moduli = afm.fitted_moduli_pa(probe, i["E_true"], _CURVES_OF_A_MEAN, 0, int(i["n"]), i["nu"])
    return float(moduli.mean())


MONITORING: dict[str, Callable[[Inputs], Result]] = {
    "7.enclosure.particle_decay": _particle_decay,
    "7.enclosure.recovery_time_100to1": lambda i: enclosure.recovery_time_s(i["ACH"], i["epsilon"]),
    "7.enclosure.iso14644_limit": _iso_limit,
    "7.enclosure.counter_exceed_probability":
        lambda i: enclosure.exceed_probability(i["C"], i["q"], i["t"], i["limit"]),
    "7.enclosure.overpressure_leak":
        lambda i: enclosure.overpressure_pa(i["Q_net"] / 3600.0, i["A_leak"], i["C_d"], i["rho"]),
    "7.enclosure.settling_velocity":
        lambda i: enclosure.settling_velocity_m_s(i["d"], i["rho_p"], i["T"], i["mfp"]),
    "7.enclosure.vhp_log_reduction": lambda i: decontamination.log_reduction(
        i["C_max"], i["tau"], i["t"], i["D_ref"], i["n"], i["C_ref"]),
    "7.enclosure.bi_sterile_probability": lambda i: decontamination.sterile_probability(i["N0"], i["LR"]),
    "7.enclosure.vhp_aeration_time":
        lambda i: decontamination.aeration_time_s(i["C0"], i["C1"], i["ACH"]) / 60.0,
    "7.enclosure.vhp_ppm_to_mg_per_L": lambda i: decontamination.peroxide_mg_l(i["ppm"], i["T"], i["P"]),
    "8.photon.dead_time_nonparalyzable": lambda i: photon.dead_time_rate_per_s(i["n"], i["tau"]),
    "8.photon.count_rate_per_cfu": lambda i: photon.counts_per_s_per_cfu(
        i["ATP"], i["k_luc"], i["QY"], i["geom"], i["PDE"]),
    "8.photon.currie_detection_limit": lambda i: photon.currie_detection_limit(i["B"]),
    "8.photon.sprt_upper_threshold": lambda i: _sprt(i).upper,
    "8.photon.sprt_asn_h1_wald": lambda i: _sprt(i).wald_run_length(1),
    "8.photon.sprt_asn_h1_actual": lambda i: _sprt(i).operating_point(i["lambda1"])[0],
    "8.photon.sprt_asn_h0_actual": lambda i: _sprt(i).operating_point(i["lambda0"])[0],
    "8.photon.cusum_arl0": lambda i: Cusum(i["k"], i["h"]).run_length(i["lambda0"]),
    "8.photon.cusum_arl1": lambda i: Cusum(i["k"], i["h"]).run_length(i["lambda1"]),
    "8.photon.yule_mean_time_to_N": lambda i: bacteria.mean_time_to_number_h(i["N"], i["mu"], i["N0"]),
    "8.photon.yule_sd_time_to_N": lambda i: bacteria.sd_time_to_number_h(i["N"], i["mu"], i["N0"]),
    "8.photon.detection_time_from_inoculum": lambda i: bacteria.detection_time_h(
        i["N0"], i["V"], i["v_aliquot"], i["s"], i["window"], i["net_counts_needed"], i["t_double"], i["lag"]),
    "9.afm.hertz_sphere": lambda i: afm.hertz_sphere_n(i["E"], i["R"], i["delta"], i["nu"]),
    "9.afm.sneddon_cone": lambda i: afm.cone_n(i["E"], i["alpha"], i["delta"], i["nu"]),
    "9.afm.sneddon_sphere_exact": lambda i: afm.sneddon_sphere_n(i["E"], i["R"], i["delta"], i["nu"]),
    "9.afm.thermal_force_noise_rms": lambda i: afm.thermal_force_rms_n(i["k"], i["T"]),
    "9.afm.fitted_modulus": _fitted_modulus,
    "9.afm.fitted_modulus_sd": lambda i: afm.expected_modulus_sd_pa(
        i["E_true"], i["R"], i["sigma_F"], int(i["n"]), i["nu"]),
    "10.spr.langmuir_association": lambda i: _binding(i).response_ru(0.0, i["C"], i["t_assoc"]),
    "10.spr.langmuir_dissociation": _dissociation,
    "10.spr.mass_transport_limited": lambda i: _binding(i).response_ru(0.0, i["C"], i["t"]),
    "10.spr.theoretical_rmax": lambda i: theoretical_rmax_ru(i["R_L"], i["MW_A"], i["MW_L"], i["n"]),
}
"""Model name of a reference entry -> evaluation from its inputs; file units in, file units out."""
