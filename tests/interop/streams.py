"""The clients of the suites `uclient` and `ice`, which come over TCP and TLS here: not a packet may be lost."""

import os
import re
import subprocess
from functools import partial
from pathlib import Path
from unittest.mock import patch

import ice
import uclient
from certificates import Certificates
from relay import PORT, TLS_PORT, Relay
from uclient import TO_ECHO, TO_ECHO6, Mode
from world import CLIENT, RELAY, RELAY6, World

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

# RFC 6062: the client connects to its peer, or the peer to it.
ACTIVE = Mode("TCP relays", "-T -n 20 -l 170 -m 2")
PASSIVE = Mode("TCP relays, connected to by the peer", f"-P -L {CLIENT} -n 20 -l 170 -m 2")
PARTIES = [("tcp", "tcp"), ("tls", "tls"), ("tcp", "udp"), ("udp", "tls"), ("tls", "tcp")]


def run(world: World, binary: Path, check, server: type[Relay] = Relay) -> None:
    # Whatever the relay logs of connections, it keeps quiet about who they are.
    logged = partial(server, world, binary, log="trace")
    with Certificates() as certificates, logged(certificates=certificates) as relay:
        uclient.start_echo(world)
        plain = [(mode, uclient.finish) for mode in (*MODES, *INDICATIONS, ACTIVE)]
        _uclient(world, check, ("TCP", f"-t -p {PORT}"), [*plain, (PASSIVE, _finish_passive)])
        secure = [(mode, _finish_verbose) for mode in MODES]
        flags = f"-t -S -p {TLS_PORT} -E {certificates.authority} -v"
        _uclient(world, check, ("TLS", flags), [*secure, (ACTIVE, _finish_spliced)])
        # Where Python's TLS looks for authorities.
        with patch.dict(os.environ, SSL_CERT_FILE=str(certificates.authority)):
            for one, other in PARTIES:
                name = f"aioice: a call of {one} and {other}"
                check(name, ice.call, world, relay, RELAY, one, other)


def _uclient(world: World, check, transport: tuple[str, str], modes: list[tuple]) -> None:
    """Runs it over a transport (its name, and the flags for it) in all modes at the same time; each has something that
    looks at the end."""
    name, flags = transport
    clients = []
    for mode, _ in modes:
        over = Mode(mode.name, f"{flags} {mode.flags}", mode.server)
        clients.append(uclient.start(world, over, uclient.MINTED))
    for (mode, finish), client in zip(modes, clients, strict=True):
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


def _finish_spliced(client: subprocess.Popen) -> str:
    """As `uclient.finish`, where the bytes count and not how they were put into records."""
    sent, received = _bytes(client)
    assert sent == received > 0, f"sent {sent}, received {received}"
    return f"{sent} bytes each way"


def _finish_passive(client: subprocess.Popen) -> str:
    """As `uclient.finish`: of what it sends both ways, it counts one way as received."""
    sent, received = _bytes(client)
    assert sent == 2 * received > 0, f"sent {sent}, received {received}"
    return f"{received} bytes each way"


def _bytes(client: subprocess.Popen) -> tuple[int, int]:
    """How many it sent, and received."""
    output, _ = client.communicate()
    totals = re.findall(r"start_mclient: tot_send_bytes ~ (\d+), tot_recv_bytes ~ (\d+)", output)
    assert totals, f"it came to no end:\n{output[-2000:]}"
    sent, received = map(int, totals[-1])
    return sent, received
