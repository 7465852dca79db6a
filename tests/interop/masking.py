"""What a peer can learn of a client from its packets: nothing. And what the relay's log and metrics keep: nothing."""

import socket
import subprocess
from pathlib import Path

import signalling
import turn
from capture import Capture, Packet, traces
from ice import converse
from relay import HIDDEN, PASSWORD, PORT, USER, Relay, shown
from signalling import Party
from turn import Client
from world import CLIENT, CLIENT6, PEER, PEER6, RELAY, RELAY6, World

# How a client's packets may be marked: time to live, DSCP and ECN.
MARKS = [(255, 0x00), (33, 0xB8 | 0b01), (64, 0b11), (7, 0x88 | 0b10), (128, 0x20)]
CHANNEL = 0x4000


def run(world: World, binary: Path, check) -> None:
    with Relay(world, binary) as relay:
        check("masking: a call shows no address of the other party", _call, world, relay, RELAY)
        check("masking: nor to one with IPv6", _call, world, relay, RELAY6)
        check("masking: a plain peer sees no address of its client", _uclient, world)
        for client, peer in ((CLIENT, PEER), (CLIENT, PEER6), (CLIENT6, PEER), (CLIENT6, PEER6)):
            name = f"masking: a peer sees no mark of its client ({client} to {peer})"
            check(name, _marks_to_peer, world, relay, client, peer)
        check("masking: nor does the other party of a call", _marks_in_call, world, relay)
    for level in ("info", "trace"):
        check(f"masking: log ({level}) and metrics keep nothing", _log, world, binary, level)


def _call(world: World, relay: Relay, server: str) -> str:
    with Capture(world.peer) as capture:
        minted = [relay.mint(call="one", party=party, peers="call") for party in "ab"]
        alice = Party(0, world.client, server, minted[0])
        signalling.meet(converse, alice, Party(1, world.peer, RELAY, minted[1]))
    return unseen(capture.packets)


def _uclient(world: World) -> str:
    with Capture(world.peer) as capture:
        echo = world.peer.popen("turnutils_peer", "-L", PEER, "-p", 3480, stdout=subprocess.DEVNULL)
        login = ["-u", USER, "-w", PASSWORD]
        client = world.client.popen(
            "timeout", 30, "turnutils_uclient", "-n", 50, "-l", 170, "-e", PEER, "-r", 3480, *login, RELAY,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        client.communicate()
        echo.kill()
    return unseen(capture.packets)


def unseen(packets: list[Packet]) -> str:
    """Checks that nothing in the packets tells of the client."""
    _uniform(packets, expected=20)
    for address in (CLIENT, CLIENT6):
        found = traces(packets, address)
        assert not found, f"{address} is there: {found}"
    # What is searched for can be found: the peer's own address stands in its packets.
    assert "raw" in traces(packets, PEER)
    return f"{len(packets)} packets"


def _marks_to_peer(world: World, relay: Relay, address: str, peer_address: str) -> str:
    peer = world.peer.inside(turn.bound, peer_address)
    to = peer.getsockname()[:2]
    server = RELAY6 if ":" in address else RELAY
    client = Client(world.client, address, server, (USER, PASSWORD))
    client.allocate(6 if ":" in peer_address else 4)
    client.bind(CHANNEL, to)
    with Capture(world.peer) as capture:
        _send_marked(client, to, peer)
    client.leave()
    return _uniform(capture.packets, expected=2 * len(MARKS))


def _marks_in_call(world: World, relay: Relay) -> str:
    alice, bob = (
        Client(host, address, RELAY, relay.mint(call="one", party=party, peers="call"))
        for host, address, party in ((world.client, CLIENT, "a"), (world.peer, PEER, "b"))
    )
    at_alice, at_bob = alice.allocate(), bob.allocate()
    bob.permit(at_alice)
    alice.bind(CHANNEL, at_bob)
    with Capture(world.peer) as capture:
        _send_marked(alice, at_bob, bob.socket)
    for client in (alice, bob):
        client.leave()
    return _uniform(capture.packets, expected=2 * len(MARKS))


def _send_marked(client: Client, to: tuple[str, int], listener: socket.socket) -> None:
    """Sends with every mark in both forms; one after the other, or the relay would send several as one."""
    for hops, traffic_class in MARKS:
        if client.socket.family == socket.AF_INET6:
            client.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
            client.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
        else:
            client.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            client.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
        client.send_on(CHANNEL, b"on a channel")
        listener.recv(2048)
        client.send_indication(to, b"in an indication")
        listener.recv(2048)


def _uniform(packets: list[Packet], expected: int) -> str:
    """Checks that all that comes from the relay has the same header."""
    relayed = [packet for packet in packets if packet.source in (RELAY, RELAY6) and packet.is_udp]
    assert len(relayed) >= expected, f"{len(relayed)} packets from the relay"
    hops = {packet.hops for packet in relayed}
    assert len(hops) == 1, f"times to live: {hops}"
    classes = {packet.traffic_class for packet in relayed}
    assert classes == {0}, f"DSCP and ECN: {classes}"
    return f"{len(relayed)} packets, time to live {hops.pop()}"


def _log(world: World, binary: Path, level: str) -> str:
    with Relay(world, binary, log=level) as relay:
        _call(world, relay, RELAY)
        _call(world, relay, RELAY6)
        _marks_to_peer(world, relay, CLIENT, PEER)
        hidden = HIDDEN | _refusals(world, relay)
        metrics = relay.metrics_text()
    for place, text in (("log", relay.log), ("metrics", metrics)):
        found = shown(text, hidden)
        assert not found, f"the {place} shows {found}"
    assert RELAY in relay.log, "the log is not the relay's"
    return f"{len(relay.log.splitlines())} lines of log, {len(metrics.splitlines())} of metrics"


def _refusals(world: World, relay: Relay) -> dict[str, bytes]:
    """Does what the relay refuses, and returns the secrets that it needed for that."""
    minted = relay.mint(call="one", party="a", peers="call")
    client = Client(world.client, CLIENT, RELAY, minted)
    client.allocate()
    for refused in ((PEER, 9), (RELAY, PORT), ("127.0.0.1", 9), ("169.254.169.254", 80)):
        try:
            client.bind(CHANNEL, refused)
        except turn.Refused:
            continue
        raise AssertionError(f"{refused} was allowed")
    client.send_indication((PEER, 9), b"dropped")
    for malformed in (b"", b"\0", b"\x00\x03\x00\x04!\x12\xa4B", b"\x40\x00\xff\xff", b"\xff" * 100):
        client.socket.send(malformed)
    stranger = Client(world.client, CLIENT6, RELAY6, (minted[0], "wrong"))
    try:
        stranger.allocate()
    except turn.Refused:
        return {"a minted password": minted[1].encode(), "a nonce": client.nonce}
    raise AssertionError("a wrong password was enough")
