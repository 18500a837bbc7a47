# SPDX-License-Identifier: Apache-2.0
"""Draws the operator's page in a headless Chromium: every state, size and language of a small workcell on a real graph.

./workcell exec python test/node/draw_web.py FOLDER [--size 1280x800 …] [--language en fr] [--state running …]
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import dashboard_scene as scene
import domain_coordinator
from aiohttp import web
from browser import Browser
from small_workcell import DEADLINE_S, MODULES, NAMESPACE, SmallWorkcell

from mimedi_msgs.msg import Alarm, AlarmList, BatchStatus, Measurement, ModuleState, Prompt, Telemetry
from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.dashboard.options import size
from mimedi_nodes.dashboard.views import AlarmsView, ModuleView, PromptView
from mimedi_nodes.nodes.clients.workcell_client import WorkcellClient
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.web.logins import Logins
from mimedi_nodes.web.server import PageServer

SIZES = ((1280, 800), (1920, 1080), (800, 1280))
STATES = ("login", "running", "prompt", "held", "confirm", "flood", "two_vessels", "stale", "lost", "no_coordinator")
SECOND = {"batch_id": "B2026-0118", "recipe": "car_t_cd19 1.0.0", "process_day": 2.1, "progress": 0.21,
          "viable_cells": 3.1e8, "phase_id": "expansion.grow.expand", "expected_remaining_h": 190.0}  # fmt: skip


def tell(made, items):
    """Publish what a scene tells, as the nodes do."""
    for item in items:
        if isinstance(item, ModuleView):
            if item.module not in made.state:
                made.state[item.module] = made.node.create_publisher(ModuleState, f"{item.module}/state", qos.STATE)
            made.state[item.module].publish(
                ModuleState(
                    module=item.module, state=int(item.state), action=item.action, phase_id=item.phase_id,
                    step=item.step, progress=item.progress, last_error=item.last_error,
                )
            )  # fmt: skip
        elif isinstance(item, AlarmsView):
            made.alarms.publish(
                AlarmList(
                    alarms=[
                        Alarm(
                            alarm_id=a.alarm_id, source=a.source, state=list(type(a.state)).index(a.state),
                            priority=int(a.priority), message=a.message, response=a.response,
                        )
                        for a in item.alarms
                    ]
                )
            )  # fmt: skip
        elif isinstance(item, PromptView):
            made.prompt.publish(
                Prompt(
                    batch_id=item.batch_id, prompt_id=item.prompt_id, question=item.question,
                    answers=list(item.answers), open=True,
                )
            )  # fmt: skip


def tell_batch(made, view, **changes):
    names = BatchStatus.get_fields_and_field_types()
    fields = {name: getattr(view, name) for name in names if hasattr(view, name)}
    made.publish_batch(**(fields | changes))


async def tell_curves(made, client, module, page):
    """Tell six days of a culture, one value after the other as the page takes them."""
    for step in range(40):
        day = 1.0 + step * (scene.NOW_DAY - 1.0) / 39
        values = {"viable_cells": 1e8 * 10 ** (0.26 * (day - 1.0)), "liquid_temperature_c": 37.0 + 0.02 * (step % 3),
                  "glucose_mm": 20.0 - 2.9 * (day - 1.0), "lactate_mm": 2.0 + 1.3 * (day - 1.0)}  # fmt: skip
        units = {"viable_cells": "cells", "liquid_temperature_c": "degC"}
        message = Telemetry(
            module=module,
            values=[Measurement(name=n, value=v, unit=units.get(n, "mmol/L")) for n, v in values.items()],
        )
        message.stamp.sec = int(day * scene.DAY_S)
        made.curve_publishers[module].publish(message)

        def taken(seen, at_s=message.stamp.sec, module=module):
            found = seen.measured.get((module, "lactate_mm"))
            return found is not None and found.time_s == at_s

        assert await asyncio.to_thread(client.wait_seen, taken, DEADLINE_S)
        page._state.look()


async def states(made, client, page, wanted):
    """Go through the states one after the other; yield the name of each when everything has been told."""
    items = {"flood": [*scene.trouble(), scene.flood()], "held": scene.trouble(), "confirm": scene.trouble()}
    for name in wanted:
        told = items.get(name, scene.two_vessels() if name == "two_vessels" else scene.everything())
        if name != "prompt":
            told = [item for item in told if not isinstance(item, PromptView)]
            made.prompt.publish(Prompt(batch_id="B2026-0117", prompt_id="expansion.grow.lactate", open=False))
        tell(made, told)
        if name in items:
            found = next(item for item in told if type(item).__name__ == "BatchSnapshot")
            tell_batch(made, found)
        else:
            tell_batch(made, scene.batch())
        if name == "two_vessels":
            made.publish_batch(state="held", hold_reason="a look at the bag", **SECOND)
            await tell_curves(made, client, "incubator_2", page)
        if name == "no_coordinator":
            made.node.destroy_publisher(made.batch)
            made.node.destroy_publisher(made.alarms)
        yield name, told
        if name == "no_coordinator":
            made.batch = made.node.create_publisher(BatchStatus, "coordinator/batch_status", qos.STATE)
            made.alarms = made.node.create_publisher(AlarmList, "alarms", qos.STATE)


async def draw(given, folder):
    place = Place(folder / "staffed" / "runs")
    users = registry(place)
    users.add("anna", "Anna Ruiz", ["administrator"], "phrase of the first day", None)
    anna = users.authenticate("anna", "phrase of the first day")
    users.add("martin", "A. Martin", ["operator"], "phrase of the first day", anna)
    users.change_password("martin", "phrase of the first day", "correct horse battery")
    made = SmallWorkcell()
    made.curve_publishers = {
        m: made.node.create_publisher(Telemetry, f"{m}/telemetry", qos.TELEMETRY) for m in ("incubator", "incubator_2")
    }
    client = WorkcellClient(NAMESPACE, MODULES)
    client.listen_to_values()
    client.start()
    tell(made, scene.everything())
    tell_batch(made, scene.batch())
    assert client.wait_seen(lambda seen: seen.batch and seen.alarms and len(seen.modules) >= len(MODULES), DEADLINE_S)
    page = PageServer(client, Logins(users), secure=False)
    await tell_curves(made, client, "incubator", page)
    runner = web.AppRunner(page.application(), shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        async with Browser(folder / "profile") as browser:
            await look(browser, url, made, client, page, given)
    finally:
        await runner.cleanup()
        client.close()
        made.close()


async def look(browser, url, made, client, page, given):
    agent = await browser.run("navigator.userAgent")

    async def speak(language):
        tag = {"en": "en-GB", "fr": "fr-FR"}[language]
        await browser.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=tag)
        await browser.call("Page.navigate", url=url)

    async def take(name, language):
        for width, height in given.size:
            await browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            await browser.run("scrollTo(0, 0)")
            await browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            wide = await browser.run(
                "[...document.querySelectorAll('body *')].filter((e) => e.scrollWidth > e.clientWidth + 1 && "
                "e.clientWidth && getComputedStyle(e).display !== 'inline')"
                ".map((e) => e.id || e.className || e.tagName)"
            )
            if wide:
                print(f"{name} {language} {width}x{height}: wider than their place: {wide}")
            await browser.picture(given.folder / f"web_{name}_{width}x{height}_{language}.png", whole=given.whole)

    for language in given.language:
        await speak(language)
        shown = "document.getElementById('state') && document.getElementById('state').textContent"
        if await browser.run("document.cookie.length === 0") and "login" in given.state:
            await browser.call("Network.clearBrowserCookies")
            await speak(language)
            await browser.until("document.getElementById('login') && !login.hidden", "login form")
            await take("login", language)
        await browser.until("document.getElementById('login') && (!login.hidden || !page.hidden)", "page")
        if await browser.run("!login.hidden"):
            await browser.run("user.value = 'martin'; password.value = 'correct horse battery'; login.requestSubmit()")
        wanted = [name for name in given.state if name != "login"]
        await browser.until(f"{shown} !== '–'", "batch")
        async for name, told in states(made, client, page, wanted):
            if name not in ("stale", "no_coordinator"):
                tell(made, told)
            await browser.until("document.getElementById('lost').hidden", "connected again")
            await asyncio.sleep(
                6.0 if name == "stale" else 1.2
            )  # two periods of the page; a module is silent after 5 s
            if name not in ("stale", "lost", "no_coordinator"):
                tell(made, told)
                await asyncio.sleep(0.7)
            if name == "confirm":
                await browser.run("command_restart.click()")
            if name == "lost":
                await page._close_sockets(None)
                await browser.until("!document.getElementById('lost').hidden", "told that the connection is lost")
            await take(name, language)
            if name == "confirm":
                await browser.run("document.getElementById('act').close()")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=size, nargs="+", default=SIZES)
    parser.add_argument("--language", nargs="+", default=["en", "fr"], choices=["en", "fr"])
    parser.add_argument("--state", nargs="+", default=STATES, choices=STATES)
    parser.add_argument("--whole", action="store_true", help="the whole page, not only what a screen shows")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with domain_coordinator.domain_id() as number, tempfile.TemporaryDirectory() as folder:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        asyncio.run(draw(given, Path(folder)))


if __name__ == "__main__":
    main()
