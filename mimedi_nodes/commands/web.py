# SPDX-License-Identifier: Apache-2.0
"""`workcell web`: the operator's page for a tablet, and a live endpoint for Foxglove."""

from __future__ import annotations

import argparse
import contextlib
import errno
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from ..modules.registry import module_table
from ..process.errors import WorkcellError
from .parts.option_types import port
from .parts.people import Place, add_runs_option, registry

EXAMPLES = """\
examples:
  ./workcell web                                               http://127.0.0.1:8080, this machine only
  ./workcell web --host 0.0.0.0 --cert cell.pem --key cell.key  https for tablets in the room
  ./workcell web --foxglove 8765                               also ws://127.0.0.1:8765 for Foxglove or Lichtblick
  ./workcell web --namespace cell_2 --port 8082
make a certificate for a trial:
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cell -keyout cell.key -out cell.pem

The layout for Foxglove and Lichtblick is config/foxglove/workcell.json.
People log in with their accounts (./workcell user add); where there are none, a name is enough.
exit status: 0 ended by Ctrl-C, 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Serve until told to stop; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell web",
        description="Serves a page with overview, batch, alarms, trends and questions of one workcell, for a browser. "
        "It asks the coordinator and the supervisor only; nothing in it reaches an instrument.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--namespace", default="", help="namespace of the workcell")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=port, default=8080, help="port (default 8080; 0 for a free one)")
    parser.add_argument("--cert", type=Path, help="certificate (PEM) for https")
    parser.add_argument("--key", type=Path, help="its key (PEM)")
    parser.add_argument("--insecure", action="store_true", help="allow other machines without https: a trial only")
    parser.add_argument("--foxglove", type=port, metavar="PORT", help="also serve Foxglove's WebSocket protocol there")
    add_runs_option(parser)
    options = parser.parse_args(list(argv))
    if (options.cert is None) != (options.key is None):
        parser.error("--cert and --key belong together")
    place = Place(options.runs)
    try:
        users = registry(place)
        if reason := refusal(options.host, options.cert is not None, options.insecure, bool(users.accounts())):
            parser.error(reason)
        return _serve(options, users)
    except (WorkcellError, OSError, RuntimeError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        print(f"workcell web: {error}{'; give a free one: --port 8081' if taken else ''}", file=sys.stderr)
        return 2


def refusal(host: str, has_tls: bool, insecure: bool, has_accounts: bool) -> str:
    """Return why the page must not be served like this; empty when it may."""
    if _is_loopback(host) or insecure:
        return ""
    if not has_tls:
        return "other machines reach this address: passwords need https (--cert, --key), or say --insecure for a trial"
    if not has_accounts:
        return "other machines reach this address and nobody has an account: ./workcell user add, or --insecure"
    return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _serve(options: argparse.Namespace, users: object) -> int:
    from aiohttp import web

    from ..nodes.clients.workcell_client import WorkcellClient
    from ..web.logins import Logins
    from ..web.server import PageServer, tls_context

    tls = tls_context(options.cert, options.key) if options.cert else None
    names = tuple(module_table())
    with contextlib.ExitStack() as stack:
        client = WorkcellClient(options.namespace, names, "web_page")
        stack.callback(client.close)
        client.listen_to_values()
        client.start()
        if options.foxglove is not None:
            from ..nodes.clients.foxglove_endpoint import FoxgloveEndpoint

            pair = (options.cert, options.key) if options.cert else None
            endpoint = stack.enter_context(FoxgloveEndpoint(options.namespace, options.host, options.foxglove, pair))
            print(f"Foxglove: {'wss' if pair else 'ws'}://{options.host}:{endpoint.port}", flush=True)
        page = PageServer(client, Logins(users), secure=tls is not None)  # type: ignore[arg-type]
        web.run_app(
            page.application(),
            host=options.host,
            port=options.port,
            ssl_context=tls,
            access_log=None,
            print=lambda text: print(text.splitlines()[0].replace("=", "").strip(), flush=True),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
