"""A small TURN client on a plain socket, for what real clients never do. The messages are aioice's."""

import socket

from aioice import stun
from aioice.stun import Class, Message, Method

import relay
from relay import PORT
from world import Namespace

UDP = 0x11000000
# Written over what aioice knows, which needs none of them.
for number, name in ((0x0017, "REQUESTED-ADDRESS-FAMILY"), (0x7FFE, "UNKNOWN")):
    entry = (number, name, stun.pack_unsigned, stun.unpack_unsigned)
    stun.ATTRIBUTES_BY_NAME[name] = stun.ATTRIBUTES_BY_TYPE[number] = entry
_FAMILIES = {4: 0x01000000, 6: 0x02000000}


class Refused(Exception):
    """The relay answered with an error."""


class Client:
    """A client at `address`, with no allocation yet."""

    def __init__(self, host: Namespace, address: str, server: str, login: tuple[str, str]):
        self.socket = host.inside(bound, address)
        self.socket.connect((server, PORT))
        self._username, password = login
        self._key = relay.key(self._username, password)
        self.nonce = b""

    def allocate(self, family: int = 4) -> tuple[str, int]:
        """Returns the relayed address, of IPv4 or IPv6."""
        asked = {"REQUESTED-TRANSPORT": UDP, "REQUESTED-ADDRESS-FAMILY": _FAMILIES[family]}
        challenge = self.ask(Message(Method.ALLOCATE, Class.REQUEST, attributes=dict(asked)))
        assert challenge.error_code == 401, challenge
        self.nonce = challenge.attributes["NONCE"]
        return self._request(Method.ALLOCATE, asked).attributes["XOR-RELAYED-ADDRESS"]

    def permit(self, peer: tuple[str, int]) -> None:
        self._request(Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": peer})

    def bind(self, channel: int, peer: tuple[str, int]) -> None:
        asked = {"CHANNEL-NUMBER": channel, "XOR-PEER-ADDRESS": peer}
        self._request(Method.CHANNEL_BIND, asked)

    def leave(self) -> None:
        """Ends the allocation."""
        self._request(Method.REFRESH, {"LIFETIME": 0})
        self.socket.close()

    def send_indication(self, peer: tuple[str, int], data: bytes) -> None:
        attributes = {"XOR-PEER-ADDRESS": peer, "DATA": data}
        self.socket.send(bytes(Message(Method.SEND, Class.INDICATION, attributes=attributes)))

    def send_on(self, channel: int, data: bytes) -> None:
        self.socket.send(channel.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data)

    def ask(self, request: Message) -> Message:
        """The answer to a request, which is not lost here."""
        self.socket.send(bytes(request))
        while True:
            answer = stun.parse_message(self.socket.recv(2048))
            if answer.transaction_id == request.transaction_id:
                return answer

    def _request(self, method: Method, attributes: dict) -> Message:
        login = {"USERNAME": self._username, "REALM": relay.REALM, "NONCE": self.nonce}
        request = Message(method, Class.REQUEST, attributes=attributes | login)
        request.add_message_integrity(self._key)
        answer = self.ask(request)
        if answer.error_code is not None:
            raise Refused(f"{method.name}: {answer.error_code}")
        return answer


def bound(address: str, port: int = 0) -> socket.socket:
    """A UDP socket; what it waits for comes soon or never."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.bind((address, port))
    opened.settimeout(5)
    return opened
