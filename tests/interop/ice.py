"""aioice, an implementation of ICE: two parties who use nothing but relayed candidates."""

from pathlib import Path

import aioice
from aioice import Candidate, Connection, TransportPolicy

import signalling
from relay import PORT, TLS_PORT, Relay
from signalling import Party
from world import RELAY, RELAY6, World

MESSAGES = [b"%d: " % n + bytes(n * 11 % 1100) for n in range(100)]


def run(world: World, binary: Path, check) -> None:
    with Relay(world, binary) as relay:
        check("aioice: a call", call, world, relay, RELAY)
        check("aioice: a call between an IPv6 and an IPv4 client", call, world, relay, RELAY6)
        check("aioice: somebody of another call gets nothing", _intruder, world, relay)


async def converse(party: Party) -> None:
    """A party's half of a call."""
    connection = await _introduce(party)
    try:
        await connection.connect()
        for message in MESSAGES:
            await connection.send(message)
        heard = [await connection.recv() for _ in MESSAGES]
        assert heard == MESSAGES, "not what was sent"
        # Neither leaves before the other has heard everything.
        await party.tell("done")
        await party.hear()
    finally:
        await connection.close()


def call(world: World, relay: Relay, server: str, *transports: str) -> str:
    """A call between parties who come by those transports, or both by UDP."""
    minted = [relay.mint(call="one", party=party, peers="call") for party in "ab"]
    signalling.meet(
        converse,
        Party(0, world.client, server, minted[0], *transports[:1]),
        Party(1, world.peer, RELAY, minted[1], *transports[1:]),
    )
    relay.wait_for("veilturn_allocations", 0)
    return f"{len(MESSAGES)} messages each way"


def _intruder(world: World, relay: Relay) -> str:
    # Both give up sooner than they would.
    aioice.stun.RETRY_MAX = 3
    before = _refused(relay)
    minted = [relay.mint(call=call, party="a", peers="call") for call in ("one", "other")]
    heard = signalling.meet(
        _fail_to_connect,
        Party(0, world.client, RELAY, minted[0]),
        Party(1, world.peer, RELAY, minted[1]),
    )
    assert heard == ["nothing", "nothing"], heard
    refused = _refused(relay) - before
    assert refused >= 2, f"{refused} channels were refused"
    relay.wait_for("veilturn_allocations", 0)
    return f"{refused:.0f} channels refused"


def _refused(relay: Relay) -> float:
    """How many channels the relay has refused because of the peer."""
    return relay.metric("veilturn_stun_responses_total", method="channel_bind", code="403")


async def _fail_to_connect(party: Party) -> str:
    connection = await _introduce(party)
    try:
        await connection.connect()
    except ConnectionError:
        return "nothing"
    finally:
        await connection.close()
    return "the other"


async def _introduce(party: Party) -> Connection:
    """Gathers candidates and swaps them with the other party."""
    username, password = party.login
    connection = Connection(
        ice_controlling=party.side == 0,
        transport_policy=TransportPolicy.RELAY,
        turn_server=(party.server, TLS_PORT if party.transport == "tls" else PORT),
        turn_transport="udp" if party.transport == "udp" else "tcp",
        turn_ssl=party.transport == "tls",
        turn_username=username,
        turn_password=password,
    )
    await connection.gather_candidates()
    candidates = [_unrelated(candidate) for candidate in connection.local_candidates]
    assert candidates, "no relayed candidate"
    await party.tell((candidates, connection.local_username, connection.local_password))
    candidates, connection.remote_username, connection.remote_password = await party.hear()
    for candidate in map(Candidate.from_sdp, candidates):
        assert (candidate.type, candidate.host) == ("relay", RELAY), candidate
        await connection.add_remote_candidate(candidate)
    await connection.add_remote_candidate(None)
    return connection


def _unrelated(candidate: Candidate) -> str:
    """The candidate without its related address, which is the client's own. Browsers leave it out by themselves."""
    candidate.related_address = candidate.related_port = None
    return candidate.to_sdp()
