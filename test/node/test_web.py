# SPDX-License-Identifier: Apache-2.0
"""The operator's page on a real graph: its HTTP and WebSocket doors, and a headless browser that is clicked."""

import asyncio
import re
import ssl
import subprocess

import aiohttp
import domain_coordinator
import pytest
import yarl
from aiohttp import web
from browser import CHROMIUM, Browser
from small_workcell import DEADLINE_S, MODULES, NAMESPACE, SmallWorkcell

from mimedi_msgs.msg import Alarm, AlarmList, BatchStatus, Measurement, ModuleState, Prompt, Telemetry
from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.commands.web import refusal
from mimedi_nodes.nodes.clients.workcell_client import WorkcellClient
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.web.logins import Logins
from mimedi_nodes.web.server import STATIC, PageServer, tls_context
from mimedi_nodes.web.state import PageState

pytestmark = pytest.mark.ros
FIRST, BEN, EVA = "phrase of the first day", "correct horse battery", "a third one, longer"
LOGIN_FORM = "document.getElementById('login') && !document.getElementById('login').hidden"
NOTE_WHEN_LOST = """window.seen = [];
new MutationObserver(() => lost.hidden || seen.push(command_hold.title)).observe(lost, {attributes: true}); 0"""
QUESTION = "Lactate is <b>above</b> 8 mM. Raise the perfusion?"
ALARM = Alarm(alarm_id="incubator.co2_low", state=1, priority=3, message="CO2 3.9 %", response="Open the valve")


@pytest.fixture(scope="module", autouse=True)
def domain():
    with domain_coordinator.domain_id() as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        yield


@pytest.fixture(scope="module")
def staffed(tmp_path_factory):
    """Accounts: Ben, an operator, and Eva, a responsible pharmacist."""
    place = Place(tmp_path_factory.mktemp("staffed") / "runs")
    users = registry(place)
    users.add("anna", "Anna Ruiz", ["administrator"], FIRST, None)
    anna = users.authenticate("anna", FIRST)
    for name, role, password in (("ben", "operator", BEN), ("eva", "responsible_pharmacist", EVA)):
        users.add(name, name.capitalize(), [role], FIRST, anna)
        users.change_password(name, FIRST, password)
    return users


def tell_states(made):
    """Publish every module's state, as modules do once a second."""
    for number, module in enumerate(MODULES):
        made.state[module].publish(ModuleState(module=module, state=64 if number else 16, progress=0.5, step="at work"))


@pytest.fixture
def workcell():
    made = SmallWorkcell()
    tell_states(made)
    made.publish_batch(
        recipe="car_t_cd19 1.4.0",
        phases_done=3,
        phases_total=46,
        phase_id="expansion.grow.expand",
        expected_remaining_h=87.4,
    )
    made.alarms.publish(AlarmList(alarms=[ALARM]))
    yield made
    made.close()


@pytest.fixture
def client(workcell):
    made = WorkcellClient(NAMESPACE, MODULES)
    made.listen_to_values()
    made.start()
    assert made.wait_seen(lambda seen: seen.batch and seen.alarms and len(seen.modules) == len(MODULES), DEADLINE_S)
    yield made
    made.close()


def test_a_module_that_only_some_sites_have_is_told_and_stays_when_it_is_gone(workcell, client):
    page = PageState(client)

    def told():
        return {each["module"]: each["state"] for each in page.snapshot()["modules"]}

    assert list(told()) == list(MODULES)
    publisher = workcell.node.create_publisher(ModuleState, "incubator_2/state", qos.STATE)
    publisher.publish(ModuleState(module="incubator_2", state=64))
    assert client.wait_seen(lambda seen: "incubator_2" in seen.modules, DEADLINE_S)
    assert told() == {**told(), "incubator_2": "EXECUTE"}
    workcell.node.destroy_publisher(publisher)
    assert told()["incubator_2"] == "EXECUTE"
    assert told().keys() - {"incubator_2"} == set(MODULES)


class Served:
    """The page, served on a port of its own."""

    def __init__(self, client, users, tls=None):
        self._page = PageServer(client, Logins(users), secure=tls is not None)
        self._tls = tls

    async def __aenter__(self):
        self._runner = web.AppRunner(self._page.application(), shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        self.http = aiohttp.ClientSession(
            headers={"Origin": self.url}, cookie_jar=aiohttp.CookieJar(unsafe=True)
        )
        return self

    async def __aexit__(self, *error):
        await self.http.close()
        await self._runner.cleanup()

    async def cut(self):
        """End the connections of all pages, as a restart of the server does."""
        await self._page._close_sockets(None)

    async def post(self, path, body, **more):
        async with self.http.post(self.url + path, json=body, **more) as reply:
            return reply.status, await reply.json()


async def test_nobody_sees_or_acts_without_a_login(client, staffed):
    async with Served(client, staffed) as page:
        assert (await page.post("/api/command", {"command": "hold", "why": "x"}))[0] == 401
        async with page.http.get(page.url + "/api/curves") as reply:
            assert reply.status == 401
        async with page.http.get(page.url + "/ws") as reply:
            assert reply.status == 401
        status, told = await page.post("/api/login", {"user": "ben", "password": "wrong"})
        assert (status, told["message"]) == (403, "user or password is wrong")
        async with page.http.get(page.url + "/") as reply:
            assert reply.status == 200
            assert "default-src 'self'" in reply.headers["Content-Security-Policy"]


async def test_acts_reach_the_nodes_as_a_session_and_roles_are_told(client, staffed, workcell):
    async with Served(client, staffed) as page:
        status, me = await page.post("/api/login", {"user": "ben", "password": BEN})
        assert (status, me["roles"], "command" in me["acts"]) == (200, ["operator"], True)
        cookies = page.http.cookie_jar.filter_cookies(yarl.URL(page.url))
        assert not any("." in morsel.value for morsel in cookies.values())  # no token in the browser
        assert (await page.post("/api/command", {"command": "hold", "why": "bag leaks"}))[0] == 200
        ((command, who, why),) = workcell.asked
        assert (command, why) == ("hold", "bag leaks")
        assert who.startswith("wct1.")
        assert BEN not in who
        status, told = await page.post("/api/alarm", {"alarm_id": "incubator.co2_low", "act": "acknowledge"})
        assert (status, told["message"]) == (409, "the cause is still there")
        await page.post("/api/logout", {})
        assert (await page.post("/api/command", {"command": "hold", "why": "x"}))[0] == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/command", {"command": "hold"}, 400),
        ("/api/command", {"command": "hold", "why": "  "}, 400),
        ("/api/command", [1], 400),
        ("/api/alarm", {"alarm_id": "a", "act": "shelve", "hours": 99}, 400),
        ("/api/alarm", {"alarm_id": "a", "act": "shelve", "hours": "x"}, 400),
        ("/api/nothing", {}, 404),
        ("/api/answer", {"prompt_id": "p", "answer": "y" * 20_000}, 413),
    ],
)
async def test_bad_requests_are_refused_with_a_word(client, staffed, workcell, path, body, status):
    async with Served(client, staffed) as page:
        await page.post("/api/login", {"user": "ben", "password": BEN})
        found, told = await page.post(path, body)
        assert found == status
        assert told["message"]
        assert workcell.asked == []


async def test_another_sites_page_can_do_nothing(client, staffed, workcell):
    async with Served(client, staffed) as page:
        await page.post("/api/login", {"user": "ben", "password": BEN})
        evil = {"Origin": "https://evil.example"}
        assert (await page.post("/api/command", {"command": "abort", "why": "x"}, headers=evil))[0] == 403
        async with page.http.get(page.url + "/ws", headers=evil) as reply:
            assert reply.status == 403
        assert workcell.asked == []


async def test_the_stream_tells_what_changes_and_where_the_coordinator_is(client, staffed, workcell):
    async with Served(client, staffed) as page:
        await page.post("/api/login", {"user": "ben", "password": BEN})
        async with page.http.ws_connect(page.url + "/ws") as socket:
            state = await asyncio.wait_for(socket.receive_json(), DEADLINE_S)
            assert state["batch"]["state"] == "running"
            assert state["coordinator"] is True
            assert set(state["allowed"]) == {"pause", "hold", "stop", "abort"}
            assert [alarm["alarm_id"] for alarm in state["alarms"]] == ["incubator.co2_low"]
            workcell.publish_batch(state="held", hold_reason="a look")
            while state["batch"]["state"] != "held":
                state = await asyncio.wait_for(socket.receive_json(), DEADLINE_S)
            assert set(state["allowed"]) == {"restart", "stop", "abort"}
            assert (state["batches"], state["waiting"]) == ({"B1": "held"}, [])
            workcell.publish_batch(batch_id="B2", state="paused")
            while state["waiting"] != ["B2"]:
                state = await asyncio.wait_for(socket.receive_json(), DEADLINE_S)
            await socket.send_str("B2")
            while state["batch"]["batch_id"] != "B2":
                state = await asyncio.wait_for(socket.receive_json(), DEADLINE_S)
            assert "resume" in state["allowed"]
            assert (state["batches"], state["waiting"]) == ({"B1": "held", "B2": "paused"}, ["B1"])


@pytest.fixture
def certified(tmp_path):
    """A certificate of its own, and its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return certificate, key


async def test_tls_is_served_with_a_certificate_and_keeps_the_cookie_to_itself(client, staffed, certified):
    certificate, key = certified
    async with Served(client, staffed, tls_context(certificate, key)) as page:
        trusting = ssl.create_default_context(cafile=str(certificate))
        trusting.check_hostname = False
        status, _ = await page.post("/api/login", {"user": "ben", "password": BEN}, ssl=trusting)
        assert status == 200
        assert all(cookie["secure"] and cookie["httponly"] for cookie in page.http.cookie_jar)
    with pytest.raises(OSError):
        tls_context(key, key)


@pytest.mark.parametrize(
    ("host", "tls", "insecure", "accounts", "allowed"),
    [
        ("127.0.0.1", False, False, False, True),
        ("localhost", False, False, False, True),
        ("::1", False, False, True, True),
        ("0.0.0.0", False, False, True, False),
        ("0.0.0.0", True, False, False, False),
        ("0.0.0.0", True, False, True, True),
        ("cell.example", False, True, False, True),
    ],
)
def test_other_machines_are_let_in_by_tls_and_accounts_only(host, tls, insecure, accounts, allowed):
    assert (refusal(host, tls, insecure, accounts) == "") is allowed


async def test_foxglove_is_sent_the_topics_as_they_are(workcell):
    from mimedi_nodes.nodes.clients.foxglove_endpoint import FoxgloveEndpoint

    with FoxgloveEndpoint(NAMESPACE, "127.0.0.1", 0) as endpoint:
        async with aiohttp.ClientSession() as http:
            url = f"ws://127.0.0.1:{endpoint.port}"
            async with http.ws_connect(url, protocols=("foxglove.sdk.v1",)) as socket:
                found = {}
                end_s = asyncio.get_running_loop().time() + DEADLINE_S
                while f"/{NAMESPACE}/coordinator/batch_status" not in found:
                    assert asyncio.get_running_loop().time() < end_s
                    message = await asyncio.wait_for(socket.receive(), DEADLINE_S)
                    if message.type is aiohttp.WSMsgType.TEXT:
                        told = message.json()
                        assert told.get("op") != "advertiseServices"
                        for channel in told.get("channels", ()) if told.get("op") == "advertise" else ():
                            found[channel["topic"]] = channel
    status = found[f"/{NAMESPACE}/coordinator/batch_status"]
    assert (status["encoding"], status["schemaName"]) == ("cdr", "mimedi_msgs/msg/BatchStatus")
    assert "float64 viable_cells" in status["schema"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt install chromium")
async def test_an_operator_works_with_the_page_in_a_browser(client, staffed, workcell, tmp_path):
    values = [("viable_cells", 2.3e9), ("liquid_temperature_c", 37.0), ("glucose_mm", 9.1), ("lactate_mm", 6.0)]

    def tell(second):
        measured = [Measurement(name=name, value=value * (1.0 + 0.01 * second), unit="") for name, value in values]
        message = Telemetry(module="incubator", values=measured)
        message.stamp.sec = 500_000 + 3600 * second
        workcell.telemetry.publish(message)

    async with Served(client, staffed) as page, Browser(tmp_path / "profile") as browser:
        await browser.call("Page.navigate", url=page.url)
        await browser.until(LOGIN_FORM, "login form")
        await browser.run(f"user.value = 'ben'; password.value = '{BEN}'; login.requestSubmit()")
        await browser.until("document.getElementById('state').textContent === 'RUNNING'", "batch")
        assert await browser.run("day.textContent + ' ' + cells.textContent") == "6.4 2.31 × 10⁹"
        assert await browser.run("done.textContent") == "64 %  ·  3 of 46 phases"
        assert await browser.run("document.querySelectorAll('.tile').length") == len(MODULES)
        assert await browser.run("command_restart.disabled && !command_hold.disabled")
        assert "CO2 3.9 %" in await browser.run("alarms.textContent")
        for second in range(4):
            tell(second)
            await asyncio.sleep(0.6)
        await browser.until("document.querySelectorAll('#trends svg').length === 4", "curves")
        workcell.prompt.publish(
            Prompt(batch_id="B1", prompt_id="p1", question=QUESTION, answers=["Yes", "No"], open=True)
        )
        await browser.until("!document.getElementById('prompt').hidden", "question")
        assert await browser.run("question.textContent") == QUESTION  # text, never markup
        end_s = asyncio.get_running_loop().time() + DEADLINE_S
        while await browser.run("document.querySelectorAll('.tile.stale').length"):
            assert asyncio.get_running_loop().time() < end_s, "modules that repeat their state are shown as silent"
            tell_states(workcell)
            await asyncio.sleep(0.2)
        workcell.node.destroy_publisher(workcell.batch)  # the coordinator goes, and comes back
        closed = "[...answers.children, ...commands.children].every((each) => each.disabled)"
        await browser.until(closed, "nothing can be asked of a coordinator that is gone")
        reason = "The coordinator does not answer: no command and no answer is possible."
        titles = await browser.run("[...answers.children, command_hold].map((each) => each.title)")
        assert titles == [reason] * 3
        assert await browser.run("prompt_why.textContent") == reason
        workcell.batch = workcell.node.create_publisher(BatchStatus, "coordinator/batch_status", qos.STATE)
        workcell.publish_batch()
        await browser.until("!answers.children[1].disabled && !command_hold.disabled", "the coordinator is back")
        assert await browser.run("prompt_why.hidden && command_hold.title.startsWith('Pumps and sound go off')")
        await browser.run("answers.querySelectorAll('button')[1].click()")
        await browser.until("document.getElementById('prompt').hidden", "question answered")
        await browser.run("command_hold.click()")
        assert await browser.run("document.getElementById('act').open && act_go.disabled")
        await browser.run("act_why.value = 'bag leaks'; act_why.oninput(); act_go.click()")
        await browser.until("document.getElementById('state').textContent === 'HELD'", "held")
        assert await browser.run("hold.textContent") == "bag leaks"
        assert await browser.run("!command_restart.disabled && command_hold.disabled")
        assert await browser.run("choice.hidden && waiting.hidden")
        workcell.publish_batch(batch_id="B2", process_day=1.5)
        await browser.until("!choice.hidden && choice.options.length === 2", "choice of batches")
        await browser.run("choice.value = 'B2'; choice.onchange()")
        await browser.until("document.getElementById('state').textContent === 'RUNNING'", "the second batch")
        assert await browser.run("day.textContent + ' ' + waiting.textContent") == "1.5 B1 waits"
        await browser.run("choice.value = 'B1'; choice.onchange()")
        await browser.until("document.getElementById('state').textContent === 'HELD'", "the first one again")
        await browser.run("alarms.querySelector('button').click()")
        await browser.until("told.textContent.includes('the cause is still there')", "refusal")
        assert workcell.named == ["B1", "B1"]  # question and command each say which batch is meant
        assert [asked[:2] for asked in workcell.asked] == [
            ("p1", "No"), ("hold", workcell.asked[1][1]), ("incubator.co2_low", "acknowledge")
        ]  # fmt: skip
        await browser.run("logout.click()")
        await browser.until(LOGIN_FORM, "logged out")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt install chromium")
async def test_a_role_that_may_not_command_is_told_so_in_the_browsers_language(client, staffed, workcell, tmp_path):
    async with Served(client, staffed) as page, Browser(tmp_path / "profile") as browser:
        agent = await browser.run("navigator.userAgent")
        await browser.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage="fr-FR")
        await browser.call("Page.navigate", url=page.url)
        await browser.until(LOGIN_FORM, "login form")
        assert await browser.run("login.querySelector('button').textContent") == "Se connecter"
        await browser.until(f"document.title === 'Cellule {NAMESPACE}'", "which workcell this is")
        await browser.run(f"user.value = 'eva'; password.value = '{EVA}'; login.requestSubmit()")
        await browser.until("document.getElementById('state').textContent === 'RUNNING'", "batch")
        assert await browser.run("[...commands.querySelectorAll('button')].every((b) => b.disabled)")
        assert await browser.run("command_hold.title") == "Votre rôle ne le permet pas."
        assert await browser.run("alarms.querySelectorAll('button').length") == 0
        assert "non acquittée" in await browser.run("alarms.textContent")
        await browser.run(NOTE_WHEN_LOST)
        await page.cut()
        await browser.until("seen.length", "told that the connection is lost")
        assert await browser.run("seen[0]") == "La liaison est perdue : rien ne peut être envoyé."
        await browser.until("document.getElementById('lost').hidden", "connected again")


def test_both_languages_of_the_page_have_the_same_words():
    text = (STATIC / "words.js").read_text()
    tables = [re.search(rf"const {name} = {{(.*?)}};", text, re.DOTALL)[1] for name in ("FRENCH", "ENGLISH")]
    french, english = (re.findall(r'(\w+):\s*"', table) for table in tables)
    assert sorted(french) == sorted(english)
    assert len(set(french)) == len(french) > 60
    told = text + "".join((STATIC / name).read_text() for name in ("page.js", "curves.js", "index.html"))
    assert set(re.findall(r"\bT\.(\w+)", told)) | set(re.findall(r'data-t="(\w+)"', told)) <= set(english)
