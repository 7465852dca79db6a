"""coturn's test client, OpenSSL's and GnuTLS's over DTLS, with a build that has the cargo feature `dtls`: not a packet may
be lost."""

import subprocess
from pathlib import Path

import uclient
from capture import Capture
from certificates import HOST, Certificates
from masking import unseen
from relay import TLS_PORT, Relay
from uclient import TO_ECHO, TO_ECHO6, Mode
from world import RELAY, RELAY6, World

MODES = [
    Mode("channels, port pairs", f"{TO_ECHO} -n 50 -l 170 -m 2"),
    Mode("indications, odd size", f"-s {TO_ECHO} -n 50 -l 171 -m 2"),
    Mode("client to client, channels", "-y -c -n 50 -l 170 -m 2"),
    Mode("client to client, indications", "-y -s -n 50 -l 170 -m 2"),
    Mode("IPv6 client and relay", f"-x {TO_ECHO6} -n 20 -l 170", RELAY6),
    Mode("dual allocation", f"-Z {TO_ECHO} -n 20 -l 170"),
    Mode("G.711: 4 calls, 50 packets a second", f"-c {TO_ECHO} -n 200 -m 4 -l 172 -z 20"),
    # No faster: where it does not come round to reading, its own socket overflows.
    Mode("1400 bytes", f"-c {TO_ECHO} -n 100 -l 1400 -z 5"),
]


def run(world: World, binary: Path, check) -> None:
    with Certificates() as certificates:
        with Relay(world, binary, log="trace", certificates=certificates, dtls=True):
            check("OpenSSL's client sees the certificate", _shown, world, certificates)
            check("GnuTLS's client is answered", _answered, world, certificates)
            uclient.start_echo(world)
            secure = f"-S -p {TLS_PORT} -E {certificates.authority}"
            check("masking: a plain peer sees no address of a client over DTLS", _masked, world, secure)
            overs = [Mode(mode.name, f"{secure} {mode.flags}", mode.server) for mode in MODES]
            clients = [uclient.start(world, over, uclient.MINTED) for over in overs]
            for mode, client in zip(MODES, clients, strict=True):
                check(f"uclient over DTLS: {mode.name}", uclient.finish, client)


def _masked(world: World, secure: str) -> str:
    with Capture(world.peer) as capture:
        over = Mode("masked", f"{secure} {TO_ECHO} -n 50 -l 170")
        uclient.finish(uclient.start(world, over, uclient.MINTED))
    return unseen(capture.packets)


def _shown(world: World, certificates: Certificates) -> str:
    """What is spoken, and with whom."""
    client = world.client.popen(
        "timeout", "20", "openssl", "s_client", "-brief", "-dtls", "-connect", f"{RELAY}:{TLS_PORT}",
        "-servername", HOST, "-CAfile", certificates.authority, "-verify_hostname", HOST,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output, _ = client.communicate()
    for line in ("Protocol version: DTLSv1.2", f"Peer certificate: CN = {HOST}", "Verification: OK"):
        assert line in output, output
    return "DTLS 1.2"


def _answered(world: World, certificates: Certificates) -> str:
    """A Binding request by another library than the server's."""
    transaction = bytes(range(12))
    client = world.client.popen(
        "timeout", "20", "gnutls-cli", "--udp", "--port", str(TLS_PORT), "--sni-hostname", HOST,
        "--verify-hostname", HOST, "--x509cafile", certificates.authority, RELAY,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output = b""
    # What is typed before the handshake is done would be lost.
    while b"Handshake was completed" not in output and (line := client.stdout.readline()):
        output += line
    client.stdin.write(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + transaction)
    client.stdin.flush()
    success = b"\x01\x01\x00\x0c\x21\x12\xa4\x42" + transaction
    while success not in output and (more := client.stdout.read1()):
        output += more
    client.stdin.close()
    client.wait()
    assert b"(DTLS1.2" in output and success in output, output
    return "DTLS 1.2"
