"""Strangers: many of them, or with broken packets. They leave nothing behind and get little back."""

import ipaddress
import socket
import time
from itertools import product
from pathlib import Path

from aioice.stun import Class, Message, Method

import turn
from relay import BUSY, PASSWORD, PORT, REALM, USER, Relay, key
from turn import UDP, Client
from world import CLIENT, CLIENT6, CLIENTS, PEER, RELAY, RELAY6, World

REQUESTS = 100_000
# From this port upwards.
FIRST_PORT = 10_000
# What it may cost, in KiB.
MOST_MEMORY = 1024

# RFC 5769 sections 2.1 to 2.4, and RFC 8489 appendix B.1 with erratum 6268.
VECTORS = [
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e00"
    "01ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5"
    "b2d3f249c1b571a280280004e57a3bcf",
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112"
    "a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113"
    "a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015"
    "001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666",
    "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24819415569e"
    "60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c39"
    "4653547679363473410000000014000b6578616d706c652e6f726700001d000400020000001c0020b5c7bf005b6c"
    "52a21c51c5e892f81924136296cb927c43149309278cc6518e65",
]


# What finds no room in the receive buffer of a busy machine.
LOST = "veilturn_socket_receive_drops_total"


def run(world: World, binary: Path, check) -> None:
    for limits, name in (("", "most of them silenced"), (BUSY, "all of them answered")):
        with Relay(world, binary, limits) as relay:
            check(f"abuse: {REQUESTS} requests of strangers, {name}", _flood, world, relay)
    with Relay(world, binary) as relay:
        for client, server in ((CLIENT, RELAY), (CLIENT6, RELAY6)):
            check(f"abuse: answers to {client} are small", _amplification, world, client, server)
        check("abuse: every broken form of the vectors", _malformed, world, relay)


def _flood(world: World, relay: Relay) -> str:
    def send(first_port: int, ports: int) -> None:
        """Sends one request from each port of each address, and waits until the relay has seen them all."""
        seen = _seen(relay)
        senders = product(range(first_port, first_port + ports), CLIENTS)
        world.client.inside(_send_from, list(senders))
        _wait_until_seen(relay, seen + ports * len(CLIENTS))

    # What the first of them costs is not counted: buffers that are touched for the first time.
    send(FIRST_PORT - 500, 500)
    _visit(world)
    before = relay.resident()
    send(FIRST_PORT, REQUESTS // len(CLIENTS))
    after = relay.resident()
    seconds = _visit(world)
    assert after - before < MOST_MEMORY, f"VmRSS grew from {before} to {after} KiB"
    assert seconds < 1, f"a client waited {seconds:.1f} s for its allocation"
    lost = relay.metric(LOST)
    assert lost < REQUESTS / 20, f"the kernel dropped {lost}, too many to say what they would have cost"
    relay.wait_for("veilturn_allocations", 0)
    return f"VmRSS {before} KiB before, {after} KiB after"


def _send_from(senders: list[tuple[int, str]]) -> None:
    requests = [
        bytes(Message(Method.ALLOCATE, Class.REQUEST, attributes={"REQUESTED-TRANSPORT": UDP})),
        bytes(Message(Method.BINDING, Class.REQUEST)),
    ]
    for number, (port, address) in enumerate(senders):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((address, port))
            sender.sendto(requests[number % 2], (RELAY, PORT))
        if number % 100 == 0:
            # Not faster than sockets' buffers empty.
            time.sleep(0.002)


def _visit(world: World) -> float:
    """Lets a client with a credential come from elsewhere and go; the seconds that it waits for its allocation."""
    client = Client(world.peer, PEER, RELAY, (USER, PASSWORD))
    start = time.monotonic()
    client.allocate()
    waited = time.monotonic() - start
    client.leave()
    return waited


def _seen(relay: Relay) -> float:
    """How many packets of clients the relay has answered or dropped, or the kernel has in front of it."""
    names = ("veilturn_stun_responses_total", "veilturn_dropped_packets_total", LOST)
    return sum(map(relay.metric, names))


def _wait_until_seen(relay: Relay, expected: float) -> None:
    deadline = time.monotonic() + 30
    while (seen := _seen(relay)) < expected:
        assert time.monotonic() < deadline, f"the relay saw {seen} of {expected}"
        time.sleep(0.05)


def _amplification(world: World, address: str, server: str) -> str:
    """Compares packets with their IP and UDP headers."""
    headers = {4: 28, 6: 48}[ipaddress.ip_address(address).version]
    sender = world.client.inside(turn.bound, address)
    sender.connect((server, PORT))
    ratios = []
    for name, code, most, request in _probes():
        sender.settimeout(5)
        sender.send(bytes(request))
        answer = sender.recv(2048)
        found = turn.stun.parse_message(answer).error_code
        assert found == code, f"{name}: {found}"
        ratio = (len(answer) + headers) / (len(bytes(request)) + headers)
        assert ratio <= most, f"{name}: {ratio:.2f}"
        ratios.append(f"{name} {ratio:.2f}")
        sender.settimeout(0.3)
        try:
            sender.recv(2048)
        except TimeoutError:
            continue
        raise AssertionError(f"{name}: two answers")
    sender.close()
    return ", ".join(ratios)


def _probes() -> list[tuple[str, int | None, float, Message]]:
    """What strangers ask, the error that they get, and how much larger that may be than the request."""
    signed = {"USERNAME": USER, "REALM": REALM, "NONCE": b"an old nonce, or one of another relay"}
    stale = Message(Method.ALLOCATE, Class.REQUEST, attributes={"REQUESTED-TRANSPORT": UDP} | signed)
    stale.add_message_integrity(key(USER, PASSWORD))
    nameless = Message(Method.ALLOCATE, Class.REQUEST, attributes={"REQUESTED-TRANSPORT": UDP})
    nameless.add_message_integrity(key(USER, PASSWORD))
    return [
        ("401 to the smallest Allocate", 401, 3.0, Message(Method.ALLOCATE, Class.REQUEST)),
        ("Binding", None, 1.5, Message(Method.BINDING, Class.REQUEST)),
        ("420", 420, 1.3, Message(Method.BINDING, Class.REQUEST, attributes={"UNKNOWN": 1})),
        ("400", 400, 1.3, nameless),
        ("438", 438, 1.3, stale),
    ]


def _malformed(world: World, relay: Relay) -> str:
    packets = [packet for vector in VECTORS for packet in _broken(bytes.fromhex(vector))]
    seen = _seen(relay)
    world.client.inside(_send_all, packets)
    # An empty datagram is a packet as well.
    _wait_until_seen(relay, seen + len(packets))
    _visit(world)
    relay.wait_for("veilturn_allocations", 0)
    relay.wait_for("veilturn_relay_ports_in_use", 0)
    assert relay.process.poll() is None
    return f"{len(packets)} packets"


def _broken(packet: bytes) -> list[bytes]:
    """Every truncation and every flip of one bit."""
    flips = []
    for bit in range(8 * len(packet)):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        flips.append(bytes(flipped))
    return [packet[:length] for length in range(len(packet))] + flips


def _send_all(packets: list[bytes]) -> None:
    with turn.bound(CLIENT) as sender:
        for number, packet in enumerate(packets):
            sender.sendto(packet, (RELAY, PORT))
            if number % 100 == 0:
                time.sleep(0.002)
