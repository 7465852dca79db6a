"""aiortc, an implementation of WebRTC: a call with a data channel and audio, as two browsers hold it."""

import asyncio
import re
from pathlib import Path

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack

import signalling
from relay import PORT, Relay
from signalling import Party
from world import RELAY, World

MESSAGES = [f"message {n}" for n in range(100)]
# A second of audio.
FRAMES = 50


def run(world: World, binary: Path, check) -> None:
    with Relay(world, binary) as relay:
        check("aiortc: data channel and audio", _call, world, relay)


def _call(world: World, relay: Relay) -> str:
    minted = [relay.mint(call="one", party=party, peers="call") for party in "ab"]
    signalling.meet(
        _converse,
        Party(0, world.client, RELAY, minted[0]),
        Party(1, world.peer, RELAY, minted[1]),
    )
    relay.wait_for("veilturn_allocations", 0)
    return f"{len(MESSAGES)} messages and {FRAMES} audio frames each way"


async def _converse(party: Party) -> None:
    connection = _connection(party)
    track: asyncio.Future = asyncio.get_running_loop().create_future()
    connection.on("track", track.set_result)
    channel = connection.createDataChannel("chat", negotiated=True, id=0)
    said: asyncio.Queue = asyncio.Queue()
    channel.on("message", said.put_nowait)
    opened = asyncio.Event()
    channel.on("open", opened.set)
    connection.addTrack(AudioStreamTrack())
    try:
        await _negotiate(connection, party)
        await opened.wait()
        for message in MESSAGES:
            channel.send(message)
        heard = [await said.get() for _ in MESSAGES]
        assert heard == MESSAGES, "not what was sent"
        audio = await track
        for _ in range(FRAMES):
            await audio.recv()
        # Neither leaves before the other has heard everything.
        await party.tell("done")
        await party.hear()
    finally:
        await connection.close()


def _connection(party: Party) -> RTCPeerConnection:
    username, password = party.login
    server = RTCIceServer(f"turn:{party.server}:{PORT}?transport=udp", username, password)
    return RTCPeerConnection(RTCConfiguration([server], iceTransportPolicy=RTCIceTransportPolicy.RELAY))


async def _negotiate(connection: RTCPeerConnection, party: Party) -> None:
    if party.side == 0:
        await connection.setLocalDescription(await connection.createOffer())
        await party.tell(_unrelated(connection.localDescription))
        await connection.setRemoteDescription(await _description(party))
    else:
        await connection.setRemoteDescription(await _description(party))
        await connection.setLocalDescription(await connection.createAnswer())
        await party.tell(_unrelated(connection.localDescription))


async def _description(party: Party) -> RTCSessionDescription:
    """The other party's description, which names relayed candidates and no others."""
    description = await party.hear()
    candidates = re.findall(r"candidate:\S+ \d \S+ \d+ (\S+) \d+ typ (\S+)", description.sdp)
    assert candidates and set(candidates) == {(RELAY, "relay")}, candidates
    addresses = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", description.sdp))
    assert addresses <= {RELAY, "0.0.0.0"}, addresses
    return description


def _unrelated(description: RTCSessionDescription) -> RTCSessionDescription:
    """The description without related addresses, which are the client's own. Browsers leave them out by themselves."""
    sdp = re.sub(r" raddr \S+ rport \d+", " raddr 0.0.0.0 rport 9", description.sdp)
    return RTCSessionDescription(sdp, description.type)
