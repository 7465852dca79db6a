"""Holds a release build of veilturn against software that others wrote, and against abuse.

    run.py [--coturn] BINARY [SUITE…]

Needs root (network namespaces), coturn's tools, tcpdump, the packages of requirements.txt and, for the suite `browser`,
what tests/browser/README.md says. Touches nothing outside the namespaces that it makes and removes.
"""

import argparse
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import abuse
import browser
import dtls
import ice
import masking
import streams
import uclient
import webrtc
from coturn import Coturn
from world import World

SUITES = {
    "uclient": uclient,
    "ice": ice,
    "webrtc": webrtc,
    "streams": streams,
    "browser": browser,
    "masking": masking,
    "abuse": abuse,
    "dtls": dtls,
}
# Not run unless named: they take a build with another set of features.
OPTIONAL = ("dtls",)
# Those in which coturn can take the relay's place.
COMPARABLE = ("streams", "browser")
# Far more than it takes.
PATIENCE = 900


class Checks:
    """Runs one check after the other, and tells how they went."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def __call__(self, name: str, call, *args) -> None:
        start = time.monotonic()
        try:
            found = call(*args)
        except Exception:
            self.failed.append(name)
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        else:
            self.passed += 1
            detail = f": {found}" if found else ""
            print(f"ok {name}{detail} ({time.monotonic() - start:.1f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--coturn", action="store_true", help=f"try coturn in the relay's place, with {COMPARABLE}"
    )
    parser.add_argument("binary", type=Path)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], metavar="SUITE")
    args = parser.parse_args()
    usual = [name for name in SUITES if name not in OPTIONAL]
    suites = args.suites or (COMPARABLE if args.coturn else usual)
    server = {}
    if args.coturn:
        if not set(suites) <= set(COMPARABLE):
            parser.error(f"coturn is for {COMPARABLE}")
        server["server"] = Coturn
    signal.signal(signal.SIGTERM, _give_up)
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(PATIENCE)
    binary = args.binary.resolve()
    checks = Checks()
    with World() as world:
        for name in suites:
            run = partial(SUITES[name].run, **server)
            checks(f"{name}: its relays ended well and kept quiet", run, world, binary, checks)
    print(f"interop: {checks.passed} passed, {len(checks.failed)} failed", *checks.failed, sep="\n  ")
    return 1 if checks.failed or not checks.passed else 0


def _give_up(number: int, _frame: object) -> None:
    sys.exit(f"interop: ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main())
