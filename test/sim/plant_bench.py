# SPDX-License-Identifier: Apache-2.0
"""Drives a plant by raw wire commands, as a person with a terminal would: strokes, valves, set points."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import WriteMultipleRegistersRequest

from mimedi_nodes.instruments.bioreactor_map import HOLDING_COUNT, SET_POINTS
from mimedi_nodes.instruments.wire.registers import encode
from mimedi_nodes.modules.site import Site
from mimedi_nodes.modules.site_file import load_site
from mimedi_sim.models.donors import NOMINAL, Donor
from mimedi_sim.plant.kits import CAR_T
from mimedi_sim.plant.twin import Plant
from mimedi_sim.scenarios import Scenario

SITE_FILE = Path(__file__).parents[2] / "config" / "site" / "demo.yaml"
SITE: Site = load_site(SITE_FILE)
STEPS = 48_000


class Bench:
    """A plant and the time of whoever works at it."""

    def __init__(
        self, seed: int = 1, donor: Donor = NOMINAL, scenario: Scenario | None = None, kit_name: str = CAR_T
    ) -> None:
        self.plant = Plant(SITE, donor=donor, seed=seed, scenario=scenario, kit_name=kit_name)
        self.now_s = 0.0
        self.polls = 0
        self.requests = 0
        for line in ("fluidics_pumps", "sorter_pumps"):
            for name in SITE.instruments[line].addresses:
                self.device(line, name, "Z" if name.endswith("_valve") else "ZN2")
        self.wait(2.0)

    # -- the wire ---------------------------------------------------------------------------------------

    def send(self, line: str, text: str) -> str:
        self.requests += 1
        return self.plant.receive(line, text.encode(), self.now_s).decode("ascii", "replace")

    def wait(self, seconds: float) -> None:
        """Let time pass; with `polls`, look at instruments that many times on the way (it must not matter)."""
        start = self.now_s
        for k in range(1, self.polls + 1):
            self.now_s = start + seconds * k / (self.polls + 1)
            self.send("fluidics_pumps", "/1?\r")
            self.send("scale_sorter_inlet", "SI\r\n")
            self.plant.truth()
        self.now_s = start + seconds
        self.plant.advance_to(self.now_s)

    def device(self, line: str, name: str, commands: str) -> str:
        answer = self.send(line, f"/{SITE.instruments[line].addresses[name]}{commands}R\r")
        assert ord(answer[2]) & 0x0F == 0, f"{name} refused {commands!r}: error {ord(answer[2]) & 0x0F}"
        return answer

    def mass_g(self, vessel: str) -> float:
        answer = self.send(f"scale_{vessel}", "SI\r\n").split()
        return float(answer[2])

    def volume_ul(self, vessel: str) -> float:
        return float(self.plant.truth()["vessels"][vessel]["volume_ul"])

    def amounts(self, vessel: str) -> dict[str, float]:
        """Amounts now, zero where there are none."""
        return defaultdict(float, self.plant.truth()["vessels"][vessel]["amounts"])

    # -- fluidics ---------------------------------------------------------------------------------------

    def turn(self, line: str, valve: str, vessel: str) -> None:
        self.device(line, valve, f"I{SITE.port_of(vessel, valve)}")

    def transfer(self, source: str, destination: str, volume_ul: float, flow_ul_min: float = 20_000.0) -> None:
        """Move liquid in strokes of up to 25 mL."""
        self.turn("fluidics_pumps", "source_valve", source)
        self.turn("fluidics_pumps", "destination_valve", destination)
        self.wait(0.5)
        left = round(volume_ul * STEPS / 25_000.0)
        speed = max(5, round(flow_ul_min / 60.0 * STEPS / 25_000.0))
        while left > 0:
            steps = min(left, STEPS)
            self.device("fluidics_pumps", "pump", f"V{speed}IA{steps}OA0")
            self.wait(2.0 * steps / speed + 0.6)
            left -= steps

    def mix(self, vessel: str, volume_ul: float = 5_000.0, flow_ul_min: float = 20_000.0) -> None:
        """One stroke drawn and returned."""
        self.transfer(vessel, vessel, volume_ul, flow_ul_min)

    # -- sorter -----------------------------------------------------------------------------------------

    def drive(self, frequency_hz: float, amplitude_vpp: float) -> None:
        self.send("sorter_generator", f"FREQ {frequency_hz:.3f}\nVOLT {amplitude_vpp}\nOUTP ON\n")

    def sound_off(self) -> None:
        self.send("sorter_generator", "OUTP OFF\n")

    def chip(
        self, sample: str, buffer: str, centre: str, sample_ul_min: float, buffer_ul_min: float,
        mix: str | None = None,
    ) -> None:
        """Run the chip until the sample vessel is empty, in strokes of one pump a pair."""
        self.turn("sorter_pumps", "sample_valve", sample)
        self.turn("sorter_pumps", "buffer_valve", buffer)
        self.turn("sorter_pumps", "centre_valve", centre)
        self.wait(0.5)
        while self.volume_ul(sample) > 1.0:
            seconds = min(10_000.0 / sample_ul_min, 25_000.0 / max(buffer_ul_min, 1e-9)) * 60.0 * 0.98
            seconds = min(seconds, self.volume_ul(sample) / sample_ul_min * 60.0 * 1.003 + 0.5)
            for name, flow, size in (("sample_a", sample_ul_min, 10_000.0), ("buffer_a", buffer_ul_min, 25_000.0)):
                speed = round(flow / 60.0 * STEPS / size)
                steps = min(STEPS, round(flow / 60.0 * seconds * STEPS / size))
                fast = 12_000
                self.device("sorter_pumps", name, f"IV{fast}A{steps}OV{speed}A0")
            self.wait(seconds + 6.0)
            if mix is not None:
                self.mix(mix)

    # -- bioreactors ------------------------------------------------------------------------------------

    def set_points(self, line: str, temperature_c: float = 37.0, co2: float = 0.05, rpm: float = 60.0,
                   perfusion_ul_min: float = 0.0) -> None:
        values = {"temperature_c": temperature_c, "co2_fraction": co2, "stirring_rpm": rpm,
                  "perfusion_ul_min": perfusion_ul_min}
        words = list(encode(SET_POINTS, values))
        registers = [0] * HOLDING_COUNT
        for at, word in words:
            registers[at] = word
        request = WriteMultipleRegistersRequest(address=0, registers=registers, dev_id=1)
        self.requests += 1
        answer = self.plant.receive(line, FramerRTU(DecodePDU(False)).buildFrame(request), self.now_s)
        assert answer, f"{line} did not answer"


def batch_until_sorted(bench: Bench, amplitude_vpp: float = 5.3) -> dict[str, float]:
    """PROCESS steps 1-5; returns what the sort gave."""
    plant = bench.plant
    bench.transfer("apheresis", "sorter_inlet", 20_000.0)
    bench.transfer("buffer", "sorter_inlet", 20_000.0)
    bench.transfer("beads", "sorter_inlet", 1_800.0)
    for _ in range(15):
        bench.mix("sorter_inlet")
        bench.wait(90.0)
    fed = bench.amounts("sorter_inlet")
    resonance = plant.truth()["chip"]["channel_resonance_hz"]
    bench.drive(resonance, amplitude_vpp)
    start_s = bench.now_s
    bench.chip("sorter_inlet", "buffer", "sorted", 510.0, 2690.0, mix="sorter_inlet")
    bench.sound_off()
    out = bench.amounts("sorted")
    t_in = fed["t_free"] + fed["t_bead"]
    t_out = out["t_bead"] + out["t_free"]
    cells = plant.truth()["vessels"]["sorted"]["cells"]
    return {
        "t_in": t_in, "t_out": t_out, "recovery": t_out / t_in, "purity": cells["cd3_fraction"],
        "t_with_dead": t_out + out["dead_bead"], "volume_ul": out["volume_ul"],
        "hours": (bench.now_s - start_s) / 3600.0,
        "rbc_carryover": out["rbc"] / fed["rbc"], "viability": cells["viability"],
    }


def batch_until_culture(bench: Bench) -> None:
    """PROCESS steps 6-11 up to the diluted culture on day 2, after batch_until_sorted."""
    plant = bench.plant
    resonance = plant.truth()["chip"]["channel_resonance_hz"]
    bench.drive(resonance + 3_000.0, 10.0)
    bench.chip("sorted", "medium", "activation_vessel", 3200.0, 320.0)
    bench.sound_off()
    bench.transfer("medium", "activation_vessel", 191_000.0 - bench.volume_ul("activation_vessel"))


def run_culture(bench: Bench, perfusion_from_h: float = 96.0, until_h: float = 240.0) -> float:
    """PROCESS steps 8-11 from the filled activation vessel to day 10; returns the hour of activation."""
    plant = bench.plant
    filled_h = bench.now_s / 3600.0

    def go_to(hour: float) -> None:
        bench.wait((filled_h + hour) * 3600.0 - bench.now_s)

    go_to(24.0)
    cells = plant.truth()["vessels"]["activation_vessel"]["cells"]["t_cells"]
    bench.transfer("vector", "activation_vessel", 5.0 * cells / 1e8 * 1e3, 5_000.0)
    go_to(42.0)
    bench.drive(plant.truth()["chip"]["channel_resonance_hz"] + 3_000.0, 10.0)
    bench.chip("activation_vessel", "medium", "culture_vessel", 3200.0, 320.0)
    bench.sound_off()
    go_to(48.0)
    bench.transfer("medium", "culture_vessel", 955_000.0 - bench.volume_ul("culture_vessel"))
    go_to(perfusion_from_h)
    bench.set_points("culture_controller", perfusion_ul_min=955_000.0 / 1440.0)
    go_to(until_h)
    return filled_h
