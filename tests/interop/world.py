"""A network for one run: four namespaces, of which three know each other only through the fourth.

    client 45.0.1.2 ──┐
    relay  45.0.2.2 ──┼── router
    peer   45.0.3.2 ──┘

The addresses look public, so that the relay's policy treats them as such; they exist in the namespaces alone. Each has
an IPv6 sibling, 2600:45:N::2, and more of both kinds where a test needs more clients.
"""

import ctypes
import os
import signal
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

PREFIX = "veilturn"
HOSTS = ("client", "relay", "peer")
CLIENT, RELAY, PEER = "45.0.1.2", "45.0.2.2", "45.0.3.2"
CLIENT6, RELAY6, PEER6 = "2600:45:1::2", "2600:45:2::2", "2600:45:3::2"
# More addresses of the client's host.
CLIENTS = [f"45.0.1.{n}" for n in range(2, 10)]

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace, and what runs there."""

    def __init__(self, name: str):
        self.name = name
        self._processes: list[subprocess.Popen] = []

    def ip(self, *args: str) -> None:
        subprocess.run(["ip", "-n", self.name, *args], check=True)

    def command(self, *args: object) -> list[str]:
        """The command line that runs `args` there."""
        return ["ip", "netns", "exec", self.name, *map(str, args)]

    def popen(self, *args: object, **options) -> subprocess.Popen:
        """Starts a process that does not outlive the run."""
        options = {"stdin": subprocess.DEVNULL} | options
        process = subprocess.Popen(self.command(*args), preexec_fn=_die_with_parent, **options)
        self._processes.append(process)
        return process

    def start(self, call, *args) -> Future:
        """Runs `call` there, in a thread of its own. The sockets that it opens belong to the namespace for good."""
        future: Future = Future()

        def body() -> None:
            try:
                with open(f"/run/netns/{self.name}") as handle:
                    if _libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
                future.set_result(call(*args))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=body, daemon=True).start()
        return future

    def inside(self, call, *args, timeout: float = 120):
        """As `start`, and waits for the result."""
        return self.start(call, *args).result(timeout)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class World:
    """The namespaces of one run, gone when the `with` block ends."""

    def __enter__(self) -> "World":
        _remove_leftovers()
        self._all = []
        try:
            router = self._add("router")
            _sysctl(router, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            for number, host in enumerate(HOSTS, start=1):
                self._connect(router, self._add(host), number)
            for address in CLIENTS[1:]:
                self.client.ip("addr", "add", f"{address}/24", "dev", "eth0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in self._all:
            namespace.close()

    def _add(self, role: str) -> Namespace:
        namespace = Namespace(f"{PREFIX}-{os.getpid()}-{role}")
        subprocess.run(["ip", "netns", "add", namespace.name], check=True)
        self._all.append(namespace)
        setattr(self, role, namespace)
        # Without the seconds in which an address is tried out.
        _sysctl(namespace, "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        namespace.ip("link", "set", "lo", "up")
        return namespace

    def _connect(self, router: Namespace, host: Namespace, number: int) -> None:
        port = f"port{number}"
        host.ip("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", router.name)
        for namespace, device, end in ((router, port, 1), (host, "eth0", 2)):
            namespace.ip("addr", "add", f"45.0.{number}.{end}/24", "dev", device)
            namespace.ip("addr", "add", f"2600:45:{number}::{end}/64", "dev", device, "nodad")
            namespace.ip("link", "set", device, "up")
        host.ip("route", "add", "default", "via", f"45.0.{number}.1")
        host.ip("route", "add", "default", "via", f"2600:45:{number}::1")


def _sysctl(namespace: Namespace, *settings: str) -> None:
    subprocess.run(namespace.command("sysctl", "-qw", *settings), check=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _remove_leftovers() -> None:
    """Removes the namespaces of runs that were killed."""
    for path in Path("/run/netns").glob(f"{PREFIX}-*-*"):
        if not Path("/proc", path.name.split("-")[1]).exists():
            subprocess.run(["ip", "netns", "del", path.name], check=False)
