# SPDX-License-Identifier: Apache-2.0
"""The registry from the model names of reference files to the functions of the twin.

Each adapter only renames inputs and picks units; the physics is in `models`. Inputs come as a mapping from the
file's names to values; a result is a number, or a mapping from output names to numbers.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from mimedi_sim.models import (
    acoustics,
    fluidics,
    growth,
    humidity,
    imaging,
    incubator_gas,
    medium_chemistry,
    osteoblast,
    sorter,
    sound,
    thermal,
    transduction,
)
from mimedi_sim.models.piezo import MotionalBranch, Transducer, tracking_step_hz
from mimedi_sim.models.process_chain import BatchSchedule, nominal_batch
from mimedi_sim.models.tcell import CultureConditions, TCellCulture, TCellParameters
from mimedi_sim.physics_registry_monitoring import MONITORING

Inputs = Mapping[str, Any]
Result = Mapping[str, float] | float


# -- 1 fluidics ---------------------------------------------------------------------------------------------


def _compliant_step(i: Inputs) -> Result:
    step = fluidics.compliant_step(i["Q_set"], i["R"], i["C"], i["t"], i.get("P0", 0.0))
    return {"Q_out": step.flow_out_m3_s, "V_out": step.volume_out_m3, "P": step.pressure_pa}


def _network_split(i: Inputs) -> Result:
    network = fluidics.HydraulicNetwork()
    network.connect("Q_in", "inlet", "junction", i["R_in"])
    network.connect("Q_1", "junction", "outlet 1", i["R_1"])
    network.connect("Q_2", "junction", "outlet 2", i["R_2"])
    return network.flows_m3_s({"inlet": i["P_in"], "outlet 1": 0.0, "outlet 2": 0.0})


# -- 2 acoustics --------------------------------------------------------------------------------------------


def _contrast(i: Inputs) -> float:
    return acoustics.contrast_factor(i["rho_p"], i["kappa_p"], i["rho_f"], i["kappa_f"])


def _force_at(i: Inputs, contrast: float) -> float:
    wavenumber = 2.0 * math.pi * i["f"] * math.sqrt(i["rho_f"] * i["kappa_f"])
    energy = acoustics.energy_density_j_m3(i["p_a"], i["kappa_f"])
    return abs(acoustics.radiation_force_n(contrast, wavenumber, i["a"], energy, i["y"]))


def _viscous_force(i: Inputs) -> float:
    contrast = acoustics.viscous_contrast_factor(
        i["rho_p"], i["kappa_p"], i["rho_f"], i["kappa_f"], i["a"], i["f"], i["eta"]
    )
    return _force_at(i, contrast)


def _time_constant(i: Inputs) -> float:
    return acoustics.focusing_time_constant_s(_contrast(i) * i["a"] ** 2, i["w"], i["E_ac"], i["eta"])


def _axial_length(i: Inputs) -> float:
    return acoustics.axial_length_m(i["y0"], i["y1"], _time_constant(i), i["w"], i["h"], i["z"], i["Q"])


def _recovery(i: Inputs) -> float:
    shares = sorter.recovery_to_centre(
        _contrast(i), i["a_mean"], i["a_cv"], width_m=i["w"], energy_j_m3=i["E_ac"], viscosity_pa_s=i["eta"],
        lamella_start_m=i["y_a"], lamella_end_m=i["y_b"], split_m=i["y_split"], residence_time_s=i["t_res"],
    )
    return float(shares[0])


def _composite(i: Inputs) -> Result:
    radius, density, compressibility = acoustics.composite_properties(
        i["a_cell"], i["n_beads"], i["a_bead"], i["rho_c"], i["kappa_c"], i["rho_b"], i["kappa_b"]
    )
    contrast = acoustics.contrast_factor(density, compressibility, i["rho_f"], i["kappa_f"])
    return {"Phi*a_eq^2": contrast * radius**2, "Phi": contrast, "a_eq": radius}


# -- 3 piezo ------------------------------------------------------------------------------------------------


def _transducer(i: Inputs) -> Transducer:
    branches = [MotionalBranch(i["R1"], i["L1"], i["C1"])]
    if "C2" in i:
        branches.append(MotionalBranch(i["R2"], i["L2"], i["C2"]))
    return Transducer(i["C0"], tuple(branches))


def _impedance(i: Inputs) -> Result:
    z = _transducer(i).impedance_ohm(float(i["f"]))
    return {"|Z|": abs(z), "arg Z": math.degrees(cmath.phase(z)), "Re Z": z.real, "Im Z": z.imag}


def _zero_phase(i: Inputs) -> Result:
    low, high = _transducer(i).zero_phase_frequencies_hz()
    return {"f_r (first zero phase)": low, "f_r": low, "f_a": high, "f_a (second zero phase)": high}


def _tracking(i: Inputs) -> float:
    transducer, frequency = _transducer(i), float(i["f_start"])
    for _ in range(int(i["n"])):
        frequency = tracking_step_hz(transducer, frequency, i["K"], i["f_s_est"], i["Q_est"])
    return frequency - transducer.branches[0].resonance_hz


# -- 5 cells ------------------------------------------------------------------------------------------------


def _tcell_full(i: Inputs) -> Result:
    parameters = TCellParameters(
        growth_per_h=i["mu_max"], lag_rate_per_h=i["nu"], lag_h=i["lag"], residual_stimulus=i["s_inf"],
        stimulus_half_time_h=i["t50"], stimulus_exponent=i["n_s"], glucose_half_mm=i["K_G"],
        lactate_inhibition_mm=i["K_L"], lactate_exponent=i["n_L"], il2_half_iu_ml=i["K_I"],
        oxygen_half_mm=i["K_O"], death_per_h=i["kd0"], stress_death_per_h=i["kd1"], lysis_per_h=i["klys"],
        capacity_per_ml=i["Xmax"], yield_cells_per_mmol=i["Y_XG"], maintenance_mmol_cell_h=i["m_G"],
        lactate_per_glucose=i["Y_LG"], il2_decay_per_h=i["k_I"],
    )
    conditions = CultureConditions(
        perfusion_vvd=i["D_perf_before"], feed_glucose_mm=i["G_feed"], feed_lactate_mm=i["L_feed"],
        feed_il2_iu_ml=i["IL2_feed"], oxygen_mm=i["DO"], temperature_factor=i["f_T"], ph_factor=i["f_pH"],
    )
    culture = TCellCulture.seeded(
        i["X_v0"], i["X_d0"], 1.0, glucose_mm=i["G0"], lactate_mm=i["L0"], il2_iu_ml=i["IL2_0"],
        parameters=parameters, conditions=conditions,
    )
    if i["t_perf_on"] < i["t_end"]:
        culture.set_conditions(i["t_perf_on"], perfusion_vvd=i["D_perf_after"])
    end = culture.at(i["t_end"])
    return {
        "X_v": end.viable_per_ml, "X_d": end.dead_cells / end.volume_ml, "viability": end.viability,
        "glucose": end.glucose_mm, "lactate": end.lactate_mm, "IL2": end.il2_iu_ml,
        "fold expansion of viable cells": end.viable_cells / i["X_v0"],
    }


def _medium_ph(i: Inputs) -> float:
    return medium_chemistry.medium_ph(
        i["SID"], i["lactate"], i["pCO2"], i["A_tot"], i["pKa_A"], i["alpha_CO2"], i["pK1"]
    )


# -- 6 incubator --------------------------------------------------------------------------------------------


def _chamber(i: Inputs) -> thermal.ThermalParameters:
    return thermal.ThermalParameters(
        wall_j_k=i["C_w"], air_j_k=i["C_a"], liquid_j_k=i["C_s"], wall_air_w_k=i["G_wa"],
        wall_ambient_w_k=i["G_we"], air_liquid_w_k=i["G_as"], door_w_k=i.get("G_door", 15.0),
        heater_limit_w=i.get("P_max", 120.0),
    )


def _uniform(temperature_c: float) -> thermal.Temperatures:
    return thermal.Temperatures(temperature_c, temperature_c, temperature_c)


def _heater_failure(i: Inputs) -> float:
    return thermal.time_to_air_threshold_s(
        _chamber(i), _uniform(i["T_init"]), 0.0, i["T_amb"], i["T_threshold"]
    )


def _door_open(i: Inputs) -> float:
    return thermal.propagated(
        _chamber(i), _uniform(i["T_init"]), i["P_heater"], i["T_amb"], i["t_open"], door_open=True
    ).air_c


def _warm_up(i: Inputs) -> thermal.WarmUp:
    if i.get("Td", 0.0) != 0.0:
        raise ValueError(f"Td is {i['Td']}; the chamber's controller has no derivative part (Td = 0)")
    settings = thermal.PiSettings(i["Kp"], i["Ti"], i["Tt"], i["dt"])
    ambient = i["T_amb=T_init"]
    return thermal.warm_up(_chamber(i), settings, ambient, ambient, i["SP"])


# -- 11 imaging ---------------------------------------------------------------------------------------------


def _camera(i: Inputs) -> imaging.CameraNoise:
    return imaging.CameraNoise(
        i["QE"], i["read_noise"], i["K"], i["offset"], str(i.get("quantised", "yes")).lower() in ("yes", "true", "1")
    )


# -- 12 process ---------------------------------------------------------------------------------------------


def _batch(i: Inputs) -> Result:
    """The scenario is a text; of its settings it states the energy density of the sort."""
    energy = re.search(r"E_ac\s*=\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)", str(i["scenario"]))
    return nominal_batch(schedule=BatchSchedule(energy_j_m3=float(energy[1])) if energy else BatchSchedule())


REGISTRY: dict[str, Callable[[Inputs], Result]] = {
    "1.fluidics.rect_channel_hydraulic_resistance":
        lambda i: fluidics.rectangular_resistance_pa_s_m3(i["w"], i["h"], i["L"], i["eta"]),
    "1.fluidics.rect_channel_umax_over_umean": lambda i: fluidics.rectangular_peak_over_mean(i["w"], i["h"]),
    "1.fluidics.water_viscosity": lambda i: fluidics.water_viscosity_pa_s(i["T"]),
    "1.fluidics.syringe_compliance_step": _compliant_step,
    "1.fluidics.bubble_compliance": lambda i: fluidics.bubble_compliance_m3_pa(i["V_bubble"], i["P_abs"]),
    "1.fluidics.peristaltic_ripple": lambda i: fluidics.damped_ripple(i["ripple_in"], i["f_roller"], i["tau"]),
    "1.fluidics.partial_occlusion_time_to_alarm": lambda i: fluidics.occlusion_alarm_time_s(
        i["Q_set"], i["R_free"], i["R_factor"], i["C"], i["P_alarm"]),
    "1.fluidics.bubble_pressure_drop_bretherton":
        lambda i: fluidics.bubble_pressure_drop_pa(i["D_h"], i["U"], i["eta"], i["sigma"]),
    "1.fluidics.network_split": _network_split,
    "2.acoustics.contrast_factor": _contrast,
    "2.acoustics.gorkov_force": lambda i: _force_at(i, _contrast(i)),
    "2.acoustics.viscous_correction_bound": _viscous_force,
    "2.acoustics.finite_size_bound": lambda i: _force_at(i, _contrast(i)),
    "2.acoustics.pressure_from_energy_density": lambda i: acoustics.pressure_amplitude_pa(i["E_ac"], i["kappa_f"]),
    "2.acoustics.lateral_trajectory":
        lambda i: acoustics.lateral_position_m(i["y0"], i["t"], _time_constant(i), i["w"]),
    "2.acoustics.focusing_time":
        lambda i: acoustics.focusing_time_s(i["y0"], i["y1"], _time_constant(i), i["w"]),
    "2.acoustics.axial_length_to_reach": _axial_length,
    "2.acoustics.half_wave_resonance":
        lambda i: sound.half_wave_resonance_hz(i["T"], i["w"], i.get("fluid", "water")),
    "2.acoustics.energy_density_detuned": lambda i: acoustics.driven_energy_density_j_m3(
        i["V_pp"], i["alpha_E"], i["f"], i["f0"], i["Q"]),
    "2.acoustics.recovery_to_centre_outlet": _recovery,
    "2.acoustics.bead_cell_composite_contrast": _composite,
    "2.acoustics.pbs_sound_speed": lambda i: sound.saline_sound_speed_m_s(i["T"], i["S_A"]),
    "3.piezo.bvd_impedance": _impedance,
    "3.piezo.bvd_two_branch": _impedance,
    "3.piezo.series_resonance_max_G": lambda i: _transducer(i).branches[0].resonance_hz,
    "3.piezo.parallel_resonance_max_R": lambda i: _transducer(i).parallel_resonance_hz(),
    "3.piezo.Q_from_conductance_bandwidth": lambda i: _transducer(i).branches[0].quality,
    "3.piezo.zero_phase_frequencies": _zero_phase,
    "3.piezo.resonance_tracking": _tracking,
    "4.transduction.adsorbed_per_cell":
        lambda i: transduction.adsorbed_per_cell(i["MOI"], i["n"], i["k_a"], i["k_d"], i["t"]),
    "4.transduction.fraction_poisson": lambda i: transduction.transduced_fraction(i["m"], None),
    "4.transduction.vcn_per_transduced_cell": lambda i: transduction.copies_per_positive_cell(i["m"], None),
    "4.transduction.fraction_ge5_copies": lambda i: transduction.fraction_with_at_least(5, i["m"], None),
    "4.transduction.fraction_gamma_poisson": lambda i: transduction.transduced_fraction(i["m"], i["r"]),
    "4.transduction.diffusion_limited_fraction":
        lambda i: transduction.diffusion_limited_fraction(i["D"], i["h"], i["t"]),
    "4.transduction.spinoculation_sedimentation_fraction": lambda i: transduction.spinoculation_fraction(
        i["RCF"], i["eta"], i["t"], i["h"], i["r_v"], i["delta_rho"]),
    "4.transduction.virus_diffusivity": lambda i: transduction.virus_diffusivity_m2_s(i["T"], i["eta"], i["r_v"]),
    "5.tcell.full_model": _tcell_full,
    "5.tcell.baranyi_lag": lambda i: growth.lag_log_growth(i["mu"], i["nu"], i["lag"], i["t"]),
    "5.tcell.logistic": lambda i: growth.logistic(i["X0"], i["K"], i["mu"], i["t"]),
    "5.tcell.temperature_factor_CTMI":
        lambda i: growth.temperature_factor(i["T"], i["T_min"], i["T_opt"], i["T_max"]),
    "5.tcell.ph_factor_CPM": lambda i: growth.ph_factor(i["pH"], i["pH_min"], i["pH_opt"], i["pH_max"]),
    "5.tcell.medium_ph": _medium_ph,
    "5.tcell.dissolved_oxygen": lambda i: medium_chemistry.dissolved_oxygen_mm(
        i["kLa"], i["C_star"], i["q_O2"], i["X"], i["C0"], i["t"]),
    "5.tcell.perfusion_lactate_steady":
        lambda i: medium_chemistry.steady_perfusion_lactate_mm(i["X"], i["q_L"], i["D"]),
    "5.osteoblast.mature_fraction": lambda i: osteoblast.mature_fraction(i["k1"], i["k2"], i["t"]),
    "5.osteoblast.alp_peak_time": lambda i: osteoblast.alp_peak_day(i["k1"], i["k2"]),
    "6.incubator.heater_failure_time": _heater_failure,
    "6.incubator.door_open_air_temperature": _door_open,
    "6.incubator.steady_heater_power":
        lambda i: thermal.heater_power_for_w(_chamber(i), i["T_set"], i["T_amb"]),
    "6.incubator.pid_settling": lambda i: _warm_up(i).settling_s,
    "6.incubator.pid_max_air_temperature": lambda i: _warm_up(i).highest_air_c,
    "6.incubator.co2_fill_time":
        lambda i: incubator_gas.co2_fill_time(i["Q_CO2"], i["V"], i["x0"], i["x1"]),
    "6.incubator.water_saturation_pressure": lambda i: humidity.saturation_pressure_pa(i["T"]),
    "6.incubator.dew_point": lambda i: humidity.dew_point_c(i["T"], i["RH"]),
    "6.incubator.pCO2_dry_basis":
        lambda i: humidity.co2_partial_pressure_mmhg(i["x_CO2"], i["P"], i["T"], i["RH"]),
    **MONITORING,
    "11.imaging.psf_sigma_px": lambda i: imaging.psf_sigma_px(i["lam"], i["NA"], i["M"], i["pixel"]),
    "11.imaging.blurred_disk_centre": lambda i: float(imaging.blurred_disk(i["a"], i["sigma"], 0.0)),
    "11.imaging.motion_blur_sigma_px":
        lambda i: imaging.motion_blur_sigma_px(i["u"], i["t_exp"], i["pixel"]),
    "11.imaging.camera_variance": lambda i: _camera(i).variance_dn2(i["photons"]),
    "11.imaging.camera_mean": lambda i: _camera(i).mean_dn(i["photons"]),
    "11.imaging.localisation_precision":
        lambda i: imaging.localisation_precision_px(i["N"], i["s"], i["b"], i["a"]),
    "12.process.nominal_CART_batch": _batch,
}
"""Model name of a reference entry -> evaluation from its inputs."""
