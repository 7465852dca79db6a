"""Prints the tables of compare.sh: medians of the ratios within each round, from the results in a folder."""

import json
import pathlib
import statistics
import sys

ROWS = [
    ("call-audio", "call, audio"),
    ("call-video", "call, video bursts, GSO and GRO"),
    ("peer-audio", "peer, audio, both ways"),
    ("peer-video", "peer, video bursts, both ways, GSO and GRO"),
    ("call-tcp", "call, video bursts, TCP"),
    ("call-tls", "call, video bursts, TLS"),
]


SERVERS = ("veilturn", "coturn", "bare")


def load(folder):
    """Results by row, kind, server and round."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.*.*.*.json")):
        row, kind, who, turn, _ = path.name.split(".")
        found.setdefault((row, kind, who), {})[int(turn)] = json.loads(path.read_text())
    return found


def pick(result, path):
    """A figure of a result; None where it has none."""
    for key in path.split("."):
        result = result and result.get(key)
    return result


def figures(found, key, path):
    """A figure of all rounds."""
    values = {turn: pick(result, path) for turn, result in found.get(key, {}).items()}
    return {turn: value for turn, value in values.items() if value is not None}


def median(values):
    values = list(values.values())
    return statistics.median(values) if values else None


def ratio(over, under):
    """The median of the ratios within each round, with the lowest and the highest."""
    ratios = {turn: over[turn] / under[turn] for turn in over if under.get(turn)}
    if not ratios:
        return "-"
    low, high = min(ratios.values()), max(ratios.values())
    return f"{median(ratios):.2f} [{low:.2f}, {high:.2f}]"


def text(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def limits(found, row, who):
    """Whose limit each round found, in a word."""
    words = {pick(result, "bottleneck") for result in found.get((row, "saturate", who), {}).values()}
    return "/".join(sorted(word for word in words if word)) or "-"


def rates(found):
    rows = []
    for row, name in ROWS:
        of = {who: figures(found, (row, "saturate", who), "result.delivered_pps") for who in SERVERS}
        if not any(of.values()):
            continue
        limit = ", ".join(limits(found, row, who) for who in of)
        rows.append(
            f"| {name} | {text(median(of['veilturn']))} | {text(median(of['coturn']))} "
            f"| {ratio(of['veilturn'], of['coturn'])} | {text(median(of['bare']))} "
            f"| {ratio(of['veilturn'], of['bare'])} | {limit} |"
        )
    if not rows:
        return
    print("\nHighest rate held (delivered packets/s), medians; ratios: medians [lowest, highest] of the rounds;")
    print("limit: what kept each from more, as veilturn, coturn, bare. Where it is not the server, compare costs instead.\n")
    print("| scenario | veilturn | coturn | veilturn : coturn | bare | veilturn : bare | limit |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def streams(found):
    rows = []
    for row, name in ROWS:
        path = "result.delivered_bytes_per_second"
        of = {who: figures(found, (row, "saturate", who), path) for who in ("veilturn", "coturn")}
        if row not in ("call-tcp", "call-tls") or not any(of.values()):
            continue
        megabytes = [median(of[who]) for who in of]
        cells = [text(value and value / 1e6) for value in megabytes]
        rows.append(f"| {name} | {cells[0]} | {cells[1]} | {ratio(of['veilturn'], of['coturn'])} |")
    if not rows:
        return
    print("\nOver streams, at the highest rate held: payload delivered (MB/s), medians.\n")
    print("| scenario | veilturn | coturn | veilturn : coturn |")
    print("|---|---|---|---|")
    print("\n".join(rows))


def costs(found):
    rows = []
    for row, name in ROWS:
        cpu = {who: figures(found, (row, "fixed", who), "result.server.cpu_us_per_packet") for who in SERVERS}
        p99 = {who: figures(found, (row, "fixed", who), "result.latency_us.p99") for who in SERVERS}
        if not any(cpu.values()):
            continue
        rate = median(figures(found, (row, "fixed", "veilturn"), "result.target_pps"))
        cells = [name, text(rate)]
        cells += [text(median(cpu[who]), 2) for who in SERVERS]
        cells += [ratio(cpu["veilturn"], cpu["coturn"]), ratio(cpu["veilturn"], cpu["bare"])]
        cells += [text(median(p99[who])) for who in SERVERS]
        cells += [ratio(p99["veilturn"], p99["coturn"])]
        rows.append("| " + " | ".join(cells) + " |")
    if not rows:
        return
    print("\nAt half of coturn's highest rate: processor time per delivered packet, and latency, medians.\n")
    print(
        "| scenario | packets/s | CPU µs, veilturn | coturn | bare | veilturn : coturn | veilturn : bare "
        "| p99 µs, veilturn | coturn | bare | veilturn : coturn |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def allocations(found):
    for row, over in [("allocations", "UDP"), ("allocations-tcp", "TCP"), ("allocations-tls", "TLS")]:
        of = {who: found.get((row, "rate", who), {}) for who in ("veilturn", "coturn")}
        if not any(of.values()):
            continue
        print(f"\nAllocations over {over}, medians.\n")
        print("| | veilturn | coturn | veilturn : coturn |")
        print("|---|---|---|---|")
        for name, path, digits in [
            ("made and deleted per second", "allocations.granted_per_second", 0),
            ("CPU µs each", "allocations.cpu_us_per_allocation", 0),
            ("share of a core", "allocations.cpu_share", 2),
            ("latency p99, µs", "allocations.latency_us.p99", 0),
            ("resident bytes of each of 1000 that live", "allocations.bytes_per_allocation", 0),
        ]:
            # What the rows over streams allocate, the servers have had for the first row.
            if over != "UDP" and path == "allocations.bytes_per_allocation":
                continue
            values = {who: figures(found, (row, "rate", who), path) for who in of}
            cells = " | ".join(text(median(values[who]), digits) for who in values)
            print(f"| {name} | {cells} | {ratio(values['veilturn'], values['coturn'])} |")


def main():
    found = load(sys.argv[1])
    rates(found)
    streams(found)
    costs(found)
    allocations(found)


if __name__ == "__main__":
    main()
