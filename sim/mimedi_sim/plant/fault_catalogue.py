# SPDX-License-Identifier: Apache-2.0
"""The faults that can be put into the plant; docs/faults.md is made from this table.

Tests hold every line to its word: the signature is looked for through the real driver, phase or image.
"""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_sim.models.bacteria import DOUBLING_TIME_H
from mimedi_sim.plant.analyser_faults import ANALYSERS
from mimedi_sim.plant.faults import FaultKind, Parameter
from mimedi_sim.plant.gantry_faults import GANTRY

_RETRIED = "asked again twice; when that fails `<module>.<instrument>_fault` and a hold"
_HELD_AT_END = "; the culture goes on, and is held with the fault's name where its phase ends while it stands"
_HOLDS = "`<module>.<instrument>_fault`, held; life support keeps its set points"

LIQUID: Mapping[str, FaultKind] = {
    "leak": FaultKind(
        "vessel", "liquid leaves the vessel to nowhere (account `lost`)", "weight falls though nothing was moved",
        "a culture: `<module>.balance_gap` with the volume lost, held; a vessel that is being filled or emptied: "
        "`fluidics.balance_gap`, the sorter's inlet and outlets `acoustic_sorter.balance_gap`, held",
        {"volume_ul": Parameter(5000.0, "uL", 1.0, 1e6), "flow_rate_ul_min": Parameter(500.0, "uL/min", 0.1, 1e5)}),
    "empty_bag": FaultKind(
        "vessel", "the vessel runs dry at once", "the pump moves, the weights do not: it draws air",
        "an order is refused when the scale shows too little; during a move `fluidics.balance_gap`, held", once=True),
    "pump_stall": FaultKind(
        "pump", "the plunger's nut slips: the drive counts its steps, the plunger stands",
        "position and counters as usual, weights unchanged",
        "`fluidics.balance_gap`, or the sorter's at the end of its run, held"),
    "pump_scale": FaultKind(
        "pump", "the stroke volume is wrong by a factor", "all volumes of this pump are wrong by the factor",
        "`fluidics.balance_gap`, held, from a volume where the error exceeds the tolerance",
        {"factor": Parameter(0.95, "1", 0.0, 2.0)}),
    "occlusion": FaultKind(
        "pump", "the line behind the pump has `factor` times its resistance; pressure rises with RC",
        "from the pressure at which the drive stalls: error 9 (plunger overload), and 7 until it is initialized; "
        "below it nothing but pressure", "`fluidics.pump_fault` (or the sorter's) with the words of the manual, held",
        {"factor": Parameter(1e6, "1", 1.0, 1e12)}),
    "bubble": FaultKind(
        "pump", "air in the inlet line: it is drawn before the liquid, and delivered in its place",
        "source and destination change by `volume_ul` less than the strokes say",
        "`fluidics.balance_gap` above the tolerance of the move, held; below it the missing volume is on record",
        {"volume_ul": Parameter(3000.0, "uL", 1.0, 25_000.0)}, once=True),
    "valve_stuck": FaultKind(
        "valve", "the rotor stands at a port while its encoder follows the commands",
        "liquid goes to, or comes from, the vessel at that port",
        "`fluidics.balance_gap`, or the sorter's at the end of its run, held",
        {"port": Parameter(None, "-", 1.0, 16.0)}),
    "scale_offset": FaultKind(
        "vessel", "the load cell is wrong by a constant", "the weight jumps by the offset",
        "`fluidics.balance_gap` when it comes during a move; before one it cannot be told from liquid",
        {"offset_g": Parameter(10.0, "g", -1e4, 1e4)}),
    "scale_dead": FaultKind("vessel", "the load cell does not measure", "`S I` to every question", _HOLDS),
}

SORTER: Mapping[str, FaultKind] = {
    "generator_detuned": FaultKind(
        "generator", "the output is off by `offset_hz` from what is shown",
        "the analyser finds the right resonance, the sort recovers less than half",
        "the recipe looks at the sorter's channel six minutes into the sort, later at the recovery: held",
        {"offset_hz": Parameter(-10_000.0, "Hz", -1e6, 1e6)}),
    "generator_off": FaultKind(
        "generator", "the amplifier gives nothing", "settings read back as set; hardly a cell in the centre outlet",
        "the recipe looks at the sorter's channel six minutes into the sort: held"),
    "channel_dry": FaultKind(
        "chip", "no liquid in the channel", "the channel's branch is missing in the sweep",
        "TuneTransducer aborts with code 210 (dry channel)"),
    "channel_bubble": FaultKind(
        "chip", "a bubble in the channel: Q/5, hardly any sound", "the channel's branch is five times as wide",
        "`acoustic_sorter.q_low` (Q 20, a sound channel's 100), or code 210 where it cannot be told from the plate; "
        "the sort tunes again, and the recipe looks at the channel: held"),
    "transducer_debonded": FaultKind(
        "chip", "the plate has come off: its Q doubles, no sound reaches the channel",
        "the plate's Q doubles, the channel's branch is missing", "TuneTransducer aborts with code 210 (dry channel)"),
}

CULTURE: Mapping[str, FaultKind] = {
    "heater_limited": FaultKind(
        "reactor", "the heater gives `power_w` at most", "heater at 100 %, the liquid settles below its set point",
        "`<module>.liquid_temperature_low`; ConditionChamber aborts with code 410, the recipe holds on the mean",
        {"power_w": Parameter(16.5, "W", 0.0, 120.0)}),
    "heater_failure": FaultKind(
        "reactor", "the heating element is open", "fault bit 1 (heater), heater at 0 %, air and liquid cool",
        "`<module>.controller_fault` at the next look, later `<module>.liquid_temperature_low`" + _HELD_AT_END),
    "heater_stuck": FaultKind(
        "reactor", "the heater's relay sticks at `power_w` until the cut-out at 38.5 degC opens and stays open",
        "air to 38.5 degC, then fault bit 1 (heater), heater at 0 %, air and liquid cool",
        "`<module>.controller_fault` at the next look, later `<module>.liquid_temperature_low`" + _HELD_AT_END,
        {"power_w": Parameter(60.0, "W", 0.0, 120.0)}),
    "temperature_bias": FaultKind(
        "reactor", "the control sensor reads `offset_k` too high",
        "the liquid's own probe settles off by the opposite", "`<module>.liquid_temperature_low` or `_high`",
        {"offset_k": Parameter(4.0, "K", -20.0, 20.0)}),
    "door_open": FaultKind(
        "reactor", "the chamber exchanges its gas with the room in 10 s and loses 15 W/K",
        "CO2 falls to the room's, air cools, pH rises",
        "`<module>.co2_low`, later `<module>.liquid_temperature_low`" + _HELD_AT_END),
    "gas_supply_lost": FaultKind(
        "reactor", "no CO2 comes", "fault bit 2 (gas supply), CO2 falls, pH rises out of its probe's range (none read)",
        "`<module>.controller_fault` and `<module>.co2_low`" + _HELD_AT_END),
    "stirrer_stopped": FaultKind(
        "reactor", "the stirrer stands: cells sink, oxygen comes by the surface only",
        "fault bit 4 (stirrer), stirring reads 0, dissolved oxygen falls",
        "`<module>.controller_fault`" + _HELD_AT_END),
    "perfusion_stopped": FaultKind(
        "reactor", "the perfusion pumps are blocked",
        "fault bit 5 (perfusion), the perfused volume stands still, lactate rises",
        "`<module>.controller_fault` and, while it should perfuse, `<module>.perfusion_stopped`" + _HELD_AT_END),
    "contamination": FaultKind(
        "vessel", "cells of an organism enter; they divide one by one, feed on glucose, sour the medium and kill",
        "nothing for hours; from about 1e8 CFU/mL glucose falls, lactate rises, pH and viable cells fall",
        "the laboratory's microscopy of the in-process sample, else `<module>.glucose_low` and the sterility test; "
        "the batch is rejected",
        {"organism": Parameter("escherichia_coli", "-", choices=tuple(DOUBLING_TIME_H)),
         "cfu": Parameter(10.0, "CFU", 1.0, 1e6)}, once=True),
    "vector_weak": FaultKind(
        "vessel", "the vector's titre is `factor` of its certificate's (thawed twice)", "few CAR+ cells by cytometry",
        "FormulateDose aborts with code 112 where the dose's cells do not fit its bag; the recipe rejects below 5 % "
        "CAR+, the specification below 10 %",
        {"factor": Parameter(0.1, "1", 0.0, 1.0)}, once=True),
}

CAMERA: Mapping[str, FaultKind] = {
    "camera_frozen": FaultKind(
        "camera", "the sensor sends its last picture again and again", "stamps go on, pixels do not change",
        "`vision_qc.camera_frozen`, held"),
    "camera_dark": FaultKind("camera", "the lamp is off", "pictures at the sensor's dark level",
                             "`vision_qc.camera_black`, held"),
    "camera_defocus": FaultKind(
        "camera", "the objective stands `defocus_um` off focus: PSF sqrt(1 + (z/z_R)^2) wider",
        "edges and rings of the cells are blurred",
        "`vision_qc.out_of_focus` (`vision_qc.sorter_out_of_focus` of the sorter's camera), held, from about 30 um on, "
        "before dead cells fade; nearer the inspection goes on",
        {"defocus_um": Parameter(20.0, "um", 0.0, 500.0)}),
    "camera_frame_loss": FaultKind(
        "camera", "a share of the exposures never arrives", "gaps in the stamps, on the grid of the frame rate",
        "the inspection goes on: densities are per frame seen; without any frame `vision_qc.microscope_fault`, held",
        {"share": Parameter(0.3, "1", 0.0, 1.0)}),
    "camera_led_flicker": FaultKind(
        "camera", "the light of each exposure varies by a relative standard deviation",
        "the mean brightness jumps from frame to frame",
        "the inspection goes on: frames are brought to one light by what lies beyond the channel's walls",
        {"amplitude": Parameter(0.02, "1", 0.0, 0.5)}),
}

WIRE: Mapping[str, FaultKind] = {
    "line_silent": FaultKind("line", "nothing passes in either direction", "no answer", _HOLDS),
    "line_garbage": FaultKind(
        "line", "a share of the answers is replaced by noise", "bytes that are no frame", _RETRIED,
        {"share": Parameter(0.3, "1", 0.0, 1.0)}),
    "line_bit_flips": FaultKind(
        "line", "each bit of requests and answers flips with a probability",
        "Modbus: bad CRC; DT and SICS have none: a flipped digit may pass, what makes no form does not", _RETRIED,
        {"bit_error_rate": Parameter(1e-3, "1", 0.0, 0.5)}),
    "line_slow": FaultKind(
        "line", "answers come `delay_s` of steady time late", "answers after the driver's patience (1 s, 10 s for a "
        "weight at rest) count as missing; what comes late is dropped before the next question", _RETRIED,
        {"delay_s": Parameter(2.0, "s", 0.0, 60.0)}),
    "power_loss": FaultKind(
        "supply", "the instrument of a line, or all (`workcell`), lose power while it lasts: pumps stop where they are "
        "and forget their position, the generator goes off, a bioreactor has no heat, gas, stirring and perfusion",
        "silence; afterwards error 7 (not initialized) from pumps and valves, generator off, bioreactor at its stored "
        "set points with the perfusion off", _HOLDS),
}

STATIONS: Mapping[str, FaultKind] = {
    "particle_burst": FaultKind(
        "enclosure", "particles come free at once (a torn glove, a broken vial)",
        "counts of the particle counter jump and decay with the air changes",
        "VerifyGrade: `enclosure.grade_lost`, held until the grade is recovered",
        {"particles": Parameter(1e6, "count of 0.5 um and more", 1.0, 1e12),
         "large": Parameter(1e4, "count of 5 um and more", 0.0, 1e12)}, once=True),
    "hepa_leak": FaultKind(
        "enclosure", "a hole in the filter: it keeps back `efficiency` of the particles instead of 0.99995",
        "counts settle at the room's share that comes through",
        "VerifyGrade measures fifteen times the particles, still grade A; from 0.95 on `enclosure.grade_lost`, held",
        {"efficiency": Parameter(0.99, "1", 0.0, 1.0)}),
    "fan_stopped": FaultKind(
        "enclosure", "the fans stand", "fault bit 0 (fan), no overpressure, no air changes",
        "`enclosure.air_failed` and `enclosure.pressure_low`, held"),
    "seal_leak": FaultKind(
        "enclosure", "a seal is torn: `hourly_leak_rate` of the volume in an hour at 250 Pa",
        "the leak test's pressure falls faster", "TestLeaks measures the decay; above its limit the test fails",
        {"hourly_leak_rate": Parameter(0.5, "1/h", 0.0, 100.0)}),
    "enclosure_door": FaultKind(
        "enclosure", "a door is forced open past its lock", "door bit, overpressure gone, particles of the room",
        "`enclosure.door_open` and `enclosure.pressure_low`, held",
        {"door": Parameter("main", "-", choices=("main", "hatch_inner", "hatch_outer"))}),
    "emergency_stop": FaultKind(
        "enclosure", "somebody presses the emergency stop; when it goes the button is out, a reset closes the chain",
        "chain open; pumps, valves, generator and gantry lose their power; heat, gas, stirring and scales keep theirs",
        "`enclosure.emergency_stop`, every module held; after the reset nothing goes on by itself"),
    "photon_saturated": FaultKind(
        "photon_counter", "light falls on the detector through an open cover",
        "gates are flagged saturated, the cover's bit is set",
        "CalibrateBackground aborts with code 710, naming the cover",
        {"light_per_s": Parameter(1e8, "photons/s", 1e5, 1e12)}),
    "photon_dead": FaultKind(
        "photon_counter", "the detector counts nothing", "gates of zero counts",
        "CalibrateBackground aborts with code 710, or 711 when it dies after the dark was counted"),
    "photon_dark_high": FaultKind(
        "photon_counter", "the detector's dark rate is `dark_per_s` at 20 degC", "dark gates count more",
        "CalibrateBackground aborts with code 710: look at cooler and shutter",
        {"dark_per_s": Parameter(5000.0, "counts/s", 0.0, 1e6)}),
}

GROUPS: Mapping[str, Mapping[str, FaultKind]] = {
    "Liquid": LIQUID, "Sorter": SORTER, "Cultures": CULTURE, "Cameras": CAMERA, "Wires and supply": WIRE,
    "Enclosure and screening": STATIONS, "Gantry": GANTRY, "Analysers": ANALYSERS,
}
CATALOGUE: Mapping[str, FaultKind] = {name: kind for kinds in GROUPS.values() for name, kind in kinds.items()}
"""All faults by name."""
