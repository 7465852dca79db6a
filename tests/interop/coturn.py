"""coturn in the place of veilturn, to tell a defect of a test from the relay's.

It passes what veilturn has to pass, but loses some of what is sent in bursts over TLS.
"""

import socket
import subprocess

from relay import PORT, REALM, SECRET, TLS_PORT, Relay
from world import RELAY, RELAY6


class Coturn(Relay):
    """A turnserver that runs as long as the `with` block. Credentials are minted by veilturn all the same."""

    def __enter__(self) -> "Coturn":
        with open(self._files / "log", "wb") as log:
            self.process = self._world.relay.popen(
                "turnserver", "-n", "-L", RELAY, "-L", RELAY6, "-E", RELAY, "-E", RELAY6,
                "-p", PORT, "--tls-listening-port", TLS_PORT, "-r", REALM, "--no-cli",
                "--use-auth-secret", "--static-auth-secret", SECRET,
                "--cert", self._certificates.chain, "--pkey", self._certificates.key,
                "--userdb", self._files / "db", "--pidfile", self._files / "pid", "-l", "stdout",
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._directory.cleanup()

    def wait_for(self, name: str, value: float, **labels: str) -> None:
        """It has no such metrics."""

    def _ask_whether_ready(self) -> None:
        socket.create_connection((RELAY, TLS_PORT), timeout=10).close()
