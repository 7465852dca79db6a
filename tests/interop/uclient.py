"""coturn's test client, turnutils_uclient, in every mode that runs over UDP: not a packet may be lost."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from relay import PASSWORD, PORT, SECRET, USER, Relay
from world import PEER, PEER6, RELAY, RELAY6, World

# Its echo server, which also listens on the next port.
ECHO_PORT = 3480

TO_ECHO = f"-e {PEER} -r {ECHO_PORT}"
TO_ECHO6 = f"-e {PEER6} -r {ECHO_PORT}"
_USER = f"-u {USER} -w {PASSWORD}"
MINTED = f"-u {USER} -W {SECRET}"


@dataclass
class Mode:
    """One way to run it."""

    name: str
    flags: str
    server: str = RELAY


MODES = [
    Mode("channels, port pairs", f"{TO_ECHO} -n 50 -l 170 -m 2"),
    Mode("indications", f"-s {TO_ECHO} -n 50 -l 170 -m 2"),
    Mode("client to client, channels", "-y -c -n 50 -l 170 -m 2"),
    Mode("client to client, indications", "-y -s -n 50 -l 170 -m 2"),
    Mode("IPv6 client and relay", f"-x {TO_ECHO6} -n 20", RELAY6),
    Mode("IPv6 client, IPv4 relay", f"-X {TO_ECHO} -n 20", RELAY6),
    Mode("IPv4 client, IPv6 relay", f"-x {TO_ECHO6} -n 20"),
    Mode("dual allocation", f"-Z {TO_ECHO} -n 20"),
    Mode("DONT-FRAGMENT, IPv4 asked for", f"-g -X {TO_ECHO} -n 20"),
    Mode("DONT-FRAGMENT, 1400 bytes", f"-g {TO_ECHO} -l 1400 -z 2 -n 20"),
    Mode("G.711: 4 calls, 50 packets a second", f"-c {TO_ECHO} -n 200 -m 4 -l 172 -z 20"),
    Mode("padded, odd size", f"-D -l 171 {TO_ECHO} -n 10"),
    Mode("more permissions and channels", f"-G {TO_ECHO} -n 10"),
]

# Those that break the rules, and for how long. What they print does not matter.
ABUSES = [
    ("random channel numbers", f"-N {TO_ECHO} {_USER}", 5),
    ("malformed packets", f"-R {TO_ECHO} {_USER}", 5),
    ("a flood of invalid packets", f"-Y invalid -m 1 -l 16 {TO_ECHO} {_USER}", 5),
    ("a wrong password", f"{TO_ECHO} -u {USER} -w nope", 5),
    ("random drops", f"-B {TO_ECHO} -n 10 {_USER}", 15),
    ("clients that come and go", f"-O -m 12 {TO_ECHO} {_USER}", 10),
]


def run(world: World, binary: Path, check) -> None:
    with Relay(world, binary) as relay:
        _run(world, relay, check)


def _run(world: World, relay: Relay, check) -> None:
    start_echo(world)
    for mode in MODES:
        check(f"uclient: {mode.name}", _lossless, world, mode)
    for name, flags, seconds in ABUSES:
        check(f"uclient: {name}, and all is well after", _abuse, world, relay, flags, seconds)


def start_echo(world: World) -> None:
    """Starts what sends packets back, until the world ends."""
    world.peer.popen(
        "turnutils_peer", "-L", PEER, "-L", PEER6, "-p", ECHO_PORT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def start(world: World, mode: Mode, login: str) -> subprocess.Popen:
    return _start(world, f"{mode.flags} {login} {mode.server}", 60)


def finish(*clients: subprocess.Popen) -> str:
    """Waits for the clients, which must not have lost anything."""
    return f"{' and '.join(map(_total, clients))} bytes each way"


def _lossless(world: World, mode: Mode) -> str:
    """Runs it as a user and with a minted credential, at the same time."""
    return finish(*(start(world, mode, login) for login in (_USER, MINTED)))


def _total(client: subprocess.Popen) -> str:
    """How many bytes it sent, and received."""
    output, _ = client.communicate()
    totals = re.findall(r"start_mclient: tot_send_bytes ~ (\d+), tot_recv_bytes ~ (\d+)", output)
    lost = re.findall(r"Total lost packets (\d+)", output)
    if not totals or not lost:
        raise AssertionError(f"it came to no end:\n{output[-2000:]}")
    sent, received = map(int, totals[-1])
    if sent == 0 or sent != received or int(lost[-1]) != 0:
        raise AssertionError(f"sent {sent}, received {received}, lost {lost[-1]}")
    return str(sent)


def _abuse(world: World, relay: Relay, flags: str, seconds: int) -> str:
    _start(world, f"{flags} {RELAY}", seconds).communicate()
    if relay.process.poll() is not None:
        raise AssertionError(f"the relay ended with {relay.process.returncode}")
    return _lossless(world, MODES[0])


def _start(world: World, flags: str, seconds: int) -> subprocess.Popen:
    """Starts it. Its exit code says nothing, and some modes never end by themselves."""
    command = ["timeout", "-s", "INT", "-k", "5", seconds, "turnutils_uclient", "-p", PORT]
    return world.client.popen(
        *command, *flags.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
