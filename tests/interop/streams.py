"""The clients of the suites `uclient` and `ice`, which come over TCP and TLS here: not a packet may be lost."""

import os
import re
import subprocess
from pathlib import Path
from unittest.mock import patch

import ice
import uclient
from certificates import Certificates
from relay import PORT, TLS_PORT, Relay
from uclient import TO_ECHO, TO_ECHO6, Mode
from world import RELAY, RELAY6, World

MODES = [
    Mode("channels, port pairs", f"{TO_ECHO} -n 50 -l 170 -m 2"),
    Mode("client to client, odd size", "-y -c -n 50 -l 171 -m 2"),
    Mode("IPv6 client and relay", f"-x {TO_ECHO6} -n 20 -l 170", RELAY6),
    Mode("dual allocation", f"-Z {TO_ECHO} -n 20 -l 170"),
    Mode("1400 bytes as fast as they go", f"-c {TO_ECHO} -n 500 -l 1400 -z 1"),
]
# Not over TLS, where it does not tell how many of them came.
INDICATIONS = [
    Mode("indications, odd size", f"-s {TO_ECHO} -n 50 -l 171 -m 2"),
    Mode("client to client, indications", "-y -s -n 50 -l 170 -m 2"),
]

PARTIES = [("tcp", "tcp"), ("tls", "tls"), ("tcp", "udp"), ("udp", "tls"), ("tls", "tcp")]


def run(world: World, binary: Path, check, server: type[Relay] = Relay) -> None:
    with Certificates() as certificates, server(world, binary, certificates=certificates) as relay:
        uclient.start_echo(world)
        _uclient(world, check, ("TCP", f"-t -p {PORT}"), MODES + INDICATIONS, uclient.finish)
        secure = f"-t -S -p {TLS_PORT} -E {certificates.authority} -v"
        _uclient(world, check, ("TLS", secure), MODES, _finish_verbose)
        # Where Python's TLS looks for authorities.
        with patch.dict(os.environ, SSL_CERT_FILE=str(certificates.authority)):
            for one, other in PARTIES:
                name = f"aioice: a call of {one} and {other}"
                check(name, ice.call, world, relay, RELAY, one, other)


def _uclient(world: World, check, transport: tuple[str, str], modes: list[Mode], finish) -> None:
    """Runs it in all modes at the same time, over a transport: its name, and the flags for it."""
    name, flags = transport
    over = [Mode(mode.name, f"{flags} {mode.flags}", mode.server) for mode in modes]
    clients = [uclient.start(world, mode, uclient.MINTED) for mode in over]
    for mode, client in zip(over, clients, strict=True):
        check(f"uclient over {name}: {mode.name}", finish, client)


def _finish_verbose(client: subprocess.Popen) -> str:
    """As `uclient.finish`, from what it says of each TLS record: it counts the first message in a record alone, and
    the relay puts several into one."""
    output, _ = client.communicate()
    length = int(client.args[client.args.index("-l") + 1])
    # On a channel, over a stream.
    message = 4 + -(-length // 4) * 4
    records = map(int, re.findall(r"response received: size=(\d+)", output))
    received = sum(record // message for record in records if record % message == 0)
    sent = re.findall(r"start_mclient: tot_send_msgs=(\d+), tot_recv_msgs", output)
    assert sent, f"it came to no end:\n{output[-2000:]}"
    assert int(sent[-1]) == received > 0, f"sent {sent[-1]}, received {received}"
    return f"{received} messages each way"
