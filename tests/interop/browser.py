"""Chromium, twice: a call with camera, microphone and a data channel, through relayed addresses alone.

Each browser runs in a namespace of its own, driven by `tests/browser/party.js`.
"""

import ipaddress
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from certificates import HOST, Certificates
from relay import PORT, TLS_PORT, Relay
from world import RELAY, Namespace, World

DRIVER = Path(__file__).resolve().parents[1] / "browser" / "party.js"
# Frames of video that each party decodes.
FRAMES = 30
# The namespace's processes have mounts of their own.
_INSIDE = """\
mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"
"""
# Bytes that are sent through the data channel and come back.
ECHO = 10 * 1024 * 1024


@dataclass
class Mode:
    """A way from the browsers to the relay."""

    # What getStats calls it.
    protocol: str
    url: str


# Only over TCP does Chromium look into the file of hosts.
MODES = [
    Mode("udp", f"turn:{RELAY}:{PORT}?transport=udp"),
    Mode("tcp", f"turn:{RELAY}:{PORT}?transport=tcp"),
    Mode("tls", f"turns:{HOST}:{TLS_PORT}?transport=tcp"),
]


def run(world: World, binary: Path, check, server: type[Relay] = Relay) -> None:
    with (
        Certificates() as certificates,
        server(world, binary, certificates=certificates) as relay,
        Browser(world.client, certificates) as alice,
        Browser(world.peer, certificates) as bob,
    ):
        for mode in MODES:
            check(f"chromium: a call over {mode.protocol}", _call, mode, relay, alice, bob)


class Browser(AbstractContextManager):
    """A browser somewhere. What it is called as, its page does: see `tests/browser/page.js`.

    It knows the relay's name, and trusts the certificates' authority.
    """

    def __init__(self, host: Namespace, certificates: Certificates):
        self._host = host
        self._certificates = certificates
        self._directory = tempfile.TemporaryDirectory(prefix="veilturn-")

    def __enter__(self) -> "Browser":
        home = Path(self._directory.name)
        _trust(home / ".pki/nssdb", self._certificates.authority)
        (home / "hosts").write_text(f"{RELAY} {HOST}\n")
        # Nobody answers, and that at once.
        (home / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        self._driver = self._host.popen(
            "sh", "-c", _INSIDE, home, "node", DRIVER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(home)},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.stdin.close()
        try:
            self._driver.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            raise
        self._directory.cleanup()

    def __getattr__(self, name: str) -> Callable:
        def call(*args: object) -> object:
            self._driver.stdin.write(json.dumps([name, *args]) + "\n")
            self._driver.stdin.flush()
            answer = json.loads(self._driver.stdout.readline() or '{"error": "the browser has ended"}')
            assert "error" not in answer, f"{name}: {answer['error']}"
            return answer["result"]

        return call


def _trust(database: Path, authority: Path) -> None:
    """Makes the database in which Chromium looks for authorities of its user."""
    database.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{database}"]
    subprocess.run([*certutil, "-N", "--empty-password"], check=True)
    subprocess.run([*certutil, "-A", "-n", "authority", "-t", "C,,", "-i", authority], check=True)


def _call(mode: Mode, relay: Relay, alice: Browser, bob: Browser) -> str:
    for browser, party in ((alice, "a"), (bob, "b")):
        browser.open()
        minted = relay.mint_ice_servers(mode.url, call="one", party=party, peers="call")
        browser.join(minted, browser is bob)
    alice.accept(bob.answer(alice.offer()))
    frames = [browser.watch(FRAMES) for browser in (alice, bob)]
    echo = alice.echo(ECHO)
    assert echo["sent"] == echo["received"], echo
    for report in [browser.report() for browser in (alice, bob)]:
        _examine(mode, report)
    for browser in (alice, bob):
        browser.leave()
    relay.wait_for("veilturn_allocations", 0)
    return f"{frames} frames, {ECHO} bytes there and back in {echo['millis'] / 1000:.1f} s"


def _examine(mode: Mode, report: dict) -> None:
    """Checks that a party used the relay that way, and has seen no address but relayed ones."""
    assert (report["state"], report["dtls"]) == ("connected", "connected"), report
    local, remote = report["local"], report["remote"]
    assert (local["candidateType"], remote["candidateType"]) == ("relay", "relay"), report
    assert (local["relayProtocol"], local["url"]) == (mode.protocol, mode.url), local
    assert local["address"] == remote["address"] == RELAY, report
    shown = _addresses("\n".join(report["candidates"] + report["descriptions"]))
    shown |= {candidate["address"] for candidate in report["remotes"]}
    # What stands where there is no address.
    assert shown - {"0.0.0.0", "127.0.0.1"} == {RELAY}, shown


def _addresses(text: str) -> set[str]:
    """All that could be read as an IP address."""
    words = re.findall(r"[\w:.%-]+", text)
    return {word for word in words if _is_address(word)}


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True
