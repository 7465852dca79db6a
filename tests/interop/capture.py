"""What tcpdump sees on a host's only link."""

import base64
import ipaddress
import secrets
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from world import RELAY, Namespace

_COOKIE = bytes.fromhex("2112a442")
_ETHERNET, _PCAP_HEADER, _RECORD_HEADER = 14, 24, 16


@dataclass
class Packet:
    """An IP packet."""

    data: bytes

    @property
    def version(self) -> int:
        return self.data[0] >> 4

    @property
    def source(self) -> str:
        raw = self.data[12:16] if self.version == 4 else self.data[8:24]
        return str(ipaddress.ip_address(raw))

    @property
    def hops(self) -> int:
        """The time to live, or the hop limit."""
        return self.data[8] if self.version == 4 else self.data[7]

    @property
    def traffic_class(self) -> int:
        """DSCP and ECN."""
        if self.version == 4:
            return self.data[1]
        return int.from_bytes(self.data[:2], "big") >> 4 & 0xFF

    @property
    def is_udp(self) -> bool:
        return self.data[9 if self.version == 4 else 6] == 17


class Capture:
    """All packets that come and go while the `with` block runs; afterwards in `packets`."""

    def __init__(self, host: Namespace):
        self._host = host
        self.packets: list[Packet] = []

    def __enter__(self) -> "Capture":
        self._file = tempfile.NamedTemporaryFile(prefix="veilturn-", suffix=".pcap")
        self._tcpdump = self._host.popen(
            "tcpdump", "--immediate-mode", "-B", 16384, "-s", 2048, "-Z", "root", "-i", "eth0",
            "-Uw", self._file.name, "ip or ip6", stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for line in self._tcpdump.stderr:
            if "listening on" in line:
                return self
        raise AssertionError("tcpdump does not start")

    def __exit__(self, *_: object) -> None:
        self._catch_up()
        self._tcpdump.send_signal(signal.SIGINT)
        summary = self._tcpdump.communicate(timeout=20)[1]
        assert "\n0 packets dropped by kernel" in summary, summary
        with open(self._file.name, "rb") as file:
            file.seek(_PCAP_HEADER)
            while header := file.read(_RECORD_HEADER):
                length = struct.unpack("<IIII", header)[2]
                self.packets.append(Packet(file.read(length)[_ETHERNET:]))
        self._file.close()

    def _catch_up(self) -> None:
        """Waits until tcpdump has written a packet that is sent behind all others."""
        last = secrets.token_bytes(16)
        self._host.inside(_send, last)
        deadline = time.monotonic() + 10
        while last not in Path(self._file.name).read_bytes():
            assert time.monotonic() < deadline, "tcpdump does not write"
            time.sleep(0.05)


def _send(data: bytes) -> None:
    """To somewhere that leads through the link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, (RELAY, 9))


def traces(packets: list[Packet], address: str) -> list[str]:
    """Which forms of an address the packets hold."""
    ip = ipaddress.ip_address(address)
    forms = encodings(address)
    if ip.version == 4:
        forms["XORed with the cookie"] = _xor(ip.packed, _COOKIE)
    found = {name for name, form in forms.items() for p in packets if form in p.data}
    if ip.version == 6 and any(_holds_xored(packet.data, ip.packed) for packet in packets):
        found.add("XORed with cookie and transaction")
    return sorted(found)


def encodings(address: str) -> dict[str, bytes]:
    """The forms in which an address could hide in bytes or text."""
    ip = ipaddress.ip_address(address)
    texts = {"text": str(ip), "long text": ip.exploded, "hexadecimal": ip.packed.hex()}
    if ip.version == 4:
        texts["decimal"] = str(int(ip))
    forms = {name: text.encode() for name, text in texts.items()} | {"raw": ip.packed}
    for name in ("text", "raw"):
        for offset in range(3):
            if len(form := _base64(forms[name], offset)) > 4:
                forms[f"{name} in base64, offset {offset}"] = form
    return forms


def _base64(data: bytes, offset: int) -> bytes:
    """The characters that `data` alone decides, if it stands `offset` bytes behind a multiple of three."""
    text = base64.b64encode(bytes(offset) + data)
    return text[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


def _holds_xored(data: bytes, address: bytes) -> bool:
    """Whether a STUN message in `data` holds the address as XOR-…-ADDRESS attributes do."""
    at = data.find(_COOKIE)
    while at >= 0:
        mask = data[at : at + 16]
        if len(mask) == 16 and _xor(address, mask) in data[at:]:
            return True
        at = data.find(_COOKIE, at + 1)
    return False


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
