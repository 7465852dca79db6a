"""What a signalling server does for two parties: it carries their descriptions, never their media."""

import asyncio
import queue
from concurrent.futures import Future
from dataclasses import dataclass, field

from world import Namespace

# How long a party waits for anything.
PATIENCE = 60


@dataclass
class Party:
    """Who takes part in a call, and from where."""

    # 0 makes the offer and controls, 1 answers.
    side: int
    where: Namespace
    server: str
    login: tuple[str, str]
    # To the server: udp, tcp or tls.
    transport: str = "udp"
    _boxes: list[queue.Queue] = field(default_factory=list)

    async def tell(self, word: object) -> None:
        self._boxes[self.side].put(word)

    async def hear(self) -> object:
        return await asyncio.to_thread(self._boxes[1 - self.side].get, True, PATIENCE)


def meet(converse, *parties: Party) -> list[object]:
    """Runs `converse` for both parties, each where it is, and returns what came of it."""
    boxes: list[queue.Queue] = [queue.Queue(), queue.Queue()]
    for party in parties:
        party._boxes = boxes
    started = [party.where.start(_run, converse, party) for party in parties]
    return [_outcome(future) for future in started]


def _run(converse, party: Party) -> object:
    async def bounded() -> object:
        return await asyncio.wait_for(converse(party), PATIENCE)

    return asyncio.run(bounded())


def _outcome(future: Future) -> object:
    return future.result(PATIENCE + 10)
