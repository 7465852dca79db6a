"""A veilturn daemon in the relay's namespace."""

import hashlib
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

from capture import encodings
from certificates import Certificates
from world import CLIENT6, CLIENTS, PEER, PEER6, RELAY, RELAY6, World

SECRET = "c2VjcmV0LWZvci10aGUtdGVzdHM0NTY3ODkgMDEyMzQ1Njc"
USER, PASSWORD = "user", "a-password-of-the-tests"
REALM = "relay.example.org"
PORT = 3478
TLS_PORT = 5349
METRICS = "127.0.0.1:9641"

CONFIG = f"""\
realm = "{REALM}"
[[listen]]
addr = "0.0.0.0:{PORT}"
[[listen]]
addr = "[::]:{PORT}"
[relay]
ipv4 = {{ bind = "{RELAY}" }}
ipv6 = {{ bind = "{RELAY6}" }}
legacy_clients = true
tcp = true
[[auth.secret]]
id = "test"
value = "{SECRET}"
[[auth.user]]
name = "{USER}"
password = "{PASSWORD}"
[peers]
policy = "public"
[metrics]
listen = "{METRICS}"
[runtime]
drain_timeout = "0s"
"""
STREAMS = f"""\
[[listen]]
addr = "0.0.0.0:{PORT}"
transport = "tcp"
[[listen]]
addr = "[::]:{PORT}"
transport = "tcp"
[[listen]]
addr = "0.0.0.0:{TLS_PORT}"
transport = "tls"
[[listen]]
addr = "[::]:{TLS_PORT}"
transport = "tls"
[[tls.certificate]]
chain_file = "{{certificates.chain}}"
key_file = "{{certificates.key}}"
"""
DTLS = f"""\
[[listen]]
addr = "0.0.0.0:{TLS_PORT}"
transport = "dtls"
[[listen]]
addr = "[::]:{TLS_PORT}"
transport = "dtls"
"""
# The clients of a test all come from one place, and come often.
BUSY = """\
[limits]
challenges_per_second = 100000
bindings_per_second = 100000
allocations_per_user = 1000
"""


# What no log may hold, whoever came and whatever went wrong.
HIDDEN = {
    "the secret": SECRET.encode(),
    "a user's password": PASSWORD.encode(),
    **{
        f"{address} ({form})": data
        for address in (*CLIENTS, CLIENT6, PEER, PEER6)
        for form, data in encodings(address).items()
    },
}


class Relay(AbstractContextManager):
    """A daemon that runs as long as the `with` block; leaving it checks that the daemon ends well and kept quiet."""

    def __init__(
        self,
        world: World,
        binary: Path,
        limits: str = BUSY,
        log: str = "info",
        certificates: Certificates | None = None,
        dtls: bool = False,
    ):
        self._world = world
        self._binary = binary
        self._limits = limits
        self._level = log
        # It listens for TCP and TLS where there are any.
        self._certificates = certificates
        # For DTLS as well, which takes a build that speaks it.
        self._dtls = dtls
        self._directory = tempfile.TemporaryDirectory(prefix="veilturn-")
        self._files = Path(self._directory.name)
        self._secret = self._write("secret", SECRET)
        # All that it has written to its log, once it has ended.
        self.log = ""

    def __enter__(self) -> "Relay":
        config = self._write("veilturn.toml", self._config())
        with open(self._files / "log", "wb") as log:
            self.process = self._world.relay.popen(
                self._binary, "serve", "--config", config,
                stdout=log, stderr=log, env=os.environ | {"VEILTURN_LOG": self._level},
            )  # fmt: skip
        self._wait_until_ready()
        return self

    def __exit__(self, kind, *_: object) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "none, it had to be killed"
        self.log = self._log()
        self._directory.cleanup()
        if kind is not None:
            print("the relay's log ends with:", *self.log.splitlines()[-20:], sep="\n  ")
            return
        assert code == 0, f"the relay's exit code is {code}:\n{self.log}"
        found = shown(self.log, HIDDEN)
        assert not found, f"the relay's log shows {found}"

    def metrics_text(self) -> str:
        return self._world.relay.inside(_get, "/metrics")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples with that name and those labels; 0 if there are none."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            sample = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if sample and sample[1] == name:
                found = dict(re.findall(r'(\w+)="([^"]*)"', sample[2] or ""))
                if labels.items() <= found.items():
                    total += float(sample[3])
        return total

    def wait_for(self, name: str, value: float, **labels: str) -> None:
        """Waits until a metric has a value."""
        deadline = time.monotonic() + 10
        while (found := self.metric(name, **labels)) != value:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {found} and not {value}")
            time.sleep(0.05)

    def resident(self) -> int:
        """VmRSS, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def mint(self, **claims: str) -> tuple[str, str]:
        """A username and password, made by `veilturn mint`."""
        minted = self._mint("json", claims)
        return minted["username"], minted["password"]

    def mint_ice_servers(self, *urls: str, **claims: str) -> dict:
        """The configuration of an RTCPeerConnection, made by `veilturn mint`."""
        return self._mint("ice-servers", claims, *(f"--url={url}" for url in urls))

    def _mint(self, form: str, claims: dict[str, str], *flags: str) -> dict:
        claimed = [f"--{name}={value}" for name, value in claims.items()]
        command = [self._binary, "mint", "--secret-file", self._secret, "--format", form, *claimed, *flags]
        return json.loads(subprocess.check_output(command))

    def _config(self) -> str:
        config = CONFIG + self._limits
        if self._certificates is not None:
            config += STREAMS.format(certificates=self._certificates)
        if self._dtls:
            config += DTLS
        return config

    def _write(self, name: str, content: str) -> Path:
        """Writes a file that nobody else may read."""
        path = self._files / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def _log(self) -> str:
        return (self._files / "log").read_text()

    def _ask_whether_ready(self) -> None:
        _get("/readyz")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._world.relay.inside(self._ask_whether_ready)
                return
            except (OSError, http.client.HTTPException):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the relay does not start:\n{self._log()}") from None
                time.sleep(0.05)


def key(username: str, password: str) -> bytes:
    """The key of the integrity that clients of RFC 5389 know."""
    return hashlib.md5(f"{username}:{REALM}:{password}".encode()).digest()


def shown(text: str, hidden: dict[str, bytes]) -> list[str]:
    """What of the hidden is in a text."""
    return [name for name, form in hidden.items() if form in text.encode()]


def _get(path: str) -> str:
    connection = http.client.HTTPConnection(METRICS, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        raise http.client.HTTPException(f"{path}: {response.status}")
    return text
