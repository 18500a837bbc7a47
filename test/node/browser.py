# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by its own DevTools protocol."""

import asyncio
import base64
import json
import re
import shutil

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DEADLINE_S = 30.0


class Browser:
    """One page of a headless browser; an asynchronous context manager."""

    def __init__(self, folder, size="1180,820"):
        self._folder, self._size = folder, size
        self._number = 0

    async def __aenter__(self):
        command = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            f"--user-data-dir={self._folder}", "--remote-debugging-port=0", "--remote-allow-origins=*", "--lang=en-US",
            f"--window-size={self._size}", "--ignore-certificate-errors", "about:blank",
        ]  # fmt: skip
        self._child = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        port = await asyncio.wait_for(self._port(), DEADLINE_S)
        self._http = aiohttp.ClientSession()
        async with self._http.get(f"http://127.0.0.1:{port}/json/list") as reply:
            pages = [page for page in await reply.json() if page["type"] == "page"]
        self._socket = await self._http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=1 << 26)
        return self

    async def __aexit__(self, *error):
        await self._socket.close()
        await self._http.close()
        self._child.terminate()
        await self._child.wait()

    async def _port(self):
        while line := await self._child.stderr.readline():
            found = re.search(rb"DevTools listening on ws://[^:]+:(\d+)/", line)
            if found:
                return int(found[1])
        raise RuntimeError("chromium ended before it listened")

    async def call(self, method, **parameters):
        """Return the result of a DevTools method."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await asyncio.wait_for(self._socket.receive(), DEADLINE_S)).data)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def run(self, script):
        """Return the value of a JavaScript expression in the page."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, script, what):
        """Wait until a JavaScript expression is true."""
        end_s = asyncio.get_running_loop().time() + DEADLINE_S
        while not await self.run(f"Boolean({script})"):
            assert asyncio.get_running_loop().time() < end_s, what
            await asyncio.sleep(0.1)

    async def picture(self, path, whole=False):
        """Save what is shown as PNG, or the whole page, what a screen does not show included."""
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
