# SPDX-License-Identifier: Apache-2.0
"""What every instrument can be held to without moving anything: tell who it is, be read, refuse nonsense.

Against the firmware on a pseudo-terminal always; against a real instrument when its port is given, e.g.
`pytest test/contract/test_instrument_ports.py --instrument-port photon_counter=/dev/ttyUSB0@115200`
(bus addresses as in ADDRESSES below). Nothing is moved, heated, opened or dosed; the particle counter's pump may run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from instrument_bench import HastySerialLink

from mimedi_nodes.instruments.afm import AtomicForceMicroscope
from mimedi_nodes.instruments.balance import SicsBalance
from mimedi_nodes.instruments.bioreactor import BioreactorController
from mimedi_nodes.instruments.cavro import CavroPump
from mimedi_nodes.instruments.cytometer import FlowCytometer
from mimedi_nodes.instruments.droplet_reader import DropletReader
from mimedi_nodes.instruments.enclosure import EnclosureController, ParticleCounter, SafetyRelay, VhpGenerator
from mimedi_nodes.instruments.flow_sensor import FlowSensor
from mimedi_nodes.instruments.gantry import Gantry
from mimedi_nodes.instruments.generator import FunctionGenerator
from mimedi_nodes.instruments.impedance import ImpedanceAnalyser
from mimedi_nodes.instruments.photon_counter import PhotonCounter
from mimedi_nodes.instruments.plate_reader import PlateReader
from mimedi_nodes.instruments.pressure_sensor import PressureSensor
from mimedi_nodes.instruments.spr_reader import SprReader
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import InstrumentRefused, Link, LinkLost, ReplyTimeout
from mimedi_nodes.instruments.wire.serial_link import SerialLink
from mimedi_nodes.modules.site_file import load_site
from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.plant.twin import Plant
from mimedi_sim.pty_server import PtyServer

SITE = load_site(Path(__file__).parents[2] / "config" / "site" / "demo.yaml")
ADDRESSES = {line: dict(SITE.instruments[line].addresses) for line in SITE.instruments}
NOW_S = 1000.0


async def nothing(_: Any) -> None:
    """Nothing to refuse at the door: this instrument takes no values that could be wrong."""


async def no_gate(counter: PhotonCounter) -> None:
    with pytest.raises(OutOfRange):
        await counter.start(1e-9, 1, shutter_open=False)


async def no_temperature(controller: BioreactorController) -> None:
    with pytest.raises(OutOfRange):
        await controller.ensure_temperature(90.0)


async def no_volt(generator: FunctionGenerator) -> None:
    with pytest.raises(OutOfRange):
        await generator.ensure_output(1e6, 1e3)


async def no_sweep(analyser: ImpedanceAnalyser) -> None:
    with pytest.raises(OutOfRange):
        await analyser.sweep(1e6, 2e6, 1)


async def no_way(gantry: Gantry) -> None:
    with pytest.raises(OutOfRange):
        await gantry.start_move((1e6, 0.0, 0.0), 1000.0)


async def no_air(controller: EnclosureController) -> None:
    with pytest.raises(OutOfRange):
        await controller.ensure_air(9.0, 33.0)


async def no_dose(vhp: VhpGenerator) -> None:
    with pytest.raises(OutOfRange):
        await vhp.start(target_ppm=1e4, hold_s=60.0, dry_to_humidity=0.4, residue_ppm=0.1)


async def no_order(relay: SafetyRelay) -> None:
    with pytest.raises(OutOfRange):
        await relay.order("order", 9)


async def no_roll(counter: ParticleCounter) -> None:
    with pytest.raises(OutOfRange):
        await counter.ensure("rolling_samples", 0)


async def no_stroke(pump: CavroPump) -> None:
    with pytest.raises(OutOfRange):
        await pump.fill_to(1e9, 1000.0)


@dataclass(frozen=True)
class Case:
    """One instrument: its line, how its driver is made, what can be read of it, what it must refuse."""

    line: str
    make: Callable[[Link], Any]
    read: Callable[[Any], Awaitable[Any]]
    refuse: Callable[[Any], Awaitable[None]] = nothing


def at(line: str, device: str) -> int:
    return ADDRESSES[line][device]


CASES = {
    "pump": Case("fluidics_pumps", lambda k: CavroPump(k, 1, 25_000.0, "pump"), lambda d: d.status(), no_stroke),
    "balance": Case("scale_buffer", lambda k: SicsBalance(k, "balance"), lambda d: d.mass_g()),
    "generator": Case("sorter_generator", lambda k: FunctionGenerator(k, "generator"), lambda d: d.is_off(), no_volt),
    "analyser": Case("sorter_impedance", lambda k: ImpedanceAnalyser(k, "analyser"), lambda d: d.clear(), no_sweep),
    "bioreactor": Case(
        "culture_controller", lambda k: BioreactorController(k, 1, "bioreactor"), lambda d: d.state(), no_temperature
    ),
    "particle_counter": Case("enclosure", lambda k: ParticleCounter(k, 1, "counter"), lambda d: d.state(), no_roll),
    "enclosure": Case("enclosure", lambda k: EnclosureController(k, 2, "enclosure"), lambda d: d.state(), no_air),
    "vhp_generator": Case("enclosure", lambda k: VhpGenerator(k, 3, "vhp"), lambda d: d.state(), no_dose),
    "safety_relay": Case("enclosure", lambda k: SafetyRelay(k, 4, "relay"), lambda d: d.state(), no_order),
    "photon_counter": Case("photon_counter", lambda k: PhotonCounter(k, "photons"), lambda d: d.state(), no_gate),
    "gantry": Case("gantry", lambda k: Gantry(k, "gantry"), lambda d: d.state(), no_way),
    "flow_sensor": Case("fluidics_flow", lambda k: FlowSensor(k, 0, "flow"), lambda d: d.reading()),
    "pressure_sensor": Case("fluidics_pressure", lambda k: PressureSensor(k, 1, "pressure"), lambda d: d.pressure_pa()),
    "afm": Case("afm", lambda k: AtomicForceMicroscope(k, "afm"), lambda d: d.cantilever()),
    "spr_reader": Case("spr_reader", lambda k: SprReader(k, "spr"), lambda d: d.kinetics()),
    "plate_reader": Case("plate_reader", lambda k: PlateReader(k, "reader"), lambda d: d.is_off()),
    "droplet_reader": Case("droplet_reader", lambda k: DropletReader(k, "droplets"), lambda d: d.is_off()),
    "cytometer": Case("cytometer", lambda k: FlowCytometer(k, "cytometer"), lambda d: d.is_off()),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return (path, baud) of the instrument: the real one's when given, else a pseudo-terminal's in the plant."""
    name = request.node.callspec.params["case"]
    given = dict(text.partition("=")[::2] for text in request.config.getoption("--instrument-port", default=[]))
    unknown = sorted(set(given) - set(CASES))
    assert not unknown, f"--instrument-port {', '.join(unknown)}: known are {', '.join(CASES)}"
    if name in given:
        path, _, baud = given[name].partition("@")
        yield path, int(baud or SITE.instruments[CASES[name].line].baud), SerialLink
        return
    plant = Plant(SITE, donor=NOMINAL, seed=1)
    server = PtyServer(tmp_path / "ports", lambda line, data: plant.receive(line, data, NOW_S))
    yield str(server.plug(CASES[name].line)), 115_200, HastySerialLink
    server.close()


async def test_instrument_tells_who_it_is_is_read_and_refuses_nonsense(case: Case, port: Any) -> None:
    path, baud, link_kind = port
    link = link_kind(case.line, path, baud)
    await link.open()
    try:
        device = case.make(link)
        for _ in range(2):
            assert await device.identify()
            await case.read(device)
        await case.refuse(device)
        assert await device.identify()
    finally:
        await link.close()
    with pytest.raises((LinkLost, ReplyTimeout, InstrumentRefused)):
        await device.identify()
