#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Shows what the nodes on this machine count: once, again and again with rates, or as JSON.

  dinomo-stats                     all figures that are not 0
  dinomo-stats -w 1 hits misses    those whose name has one of these words, every second, with rates
  dinomo-stats --latency           percentiles by kind of operation
  dinomo-stats --health            whether each lives and is ready
  dinomo-stats --json -w 1 -n 60 > run.jsonl    a recording, for dinomo-plot

Exit status: 0; 1 if no node answers or, with --health, one is not ready; 2 if wrongly used."""
import json
import sys
import time

from dinomo_tools import EXIT_OK, EXIT_TROUBLE, Trouble, columns, parser, run
from dinomo_tools.telemetry import NoAnswer, add_socket_option, need_nodes

PROG = "dinomo-stats"


def flat(stats):
    """{name: value}; figures with a label as name{label's value}."""
    result = {}
    for name, value in stats.items():
        if isinstance(value, dict):
            result.update({f"{name}{{{key}}}": v for key, v in value.items()})
        else:
            result[name] = value
    return result


def row_of(described, name):
    return described[name.split("{")[0]]


def look(node, part):
    stats = node.stats(part)
    if stats is None:
        raise Trouble(f"{node.kind} {node.name} has no worker {part}")
    return time.monotonic(), flat(stats)


def wanted(name, words):
    return not words or any(word in name for word in words)


def shown_value(value, unit):
    if unit == "bytes" and value >= 1 << 20:
        return f"{value / (1 << 20):.1f} MiB"
    if unit in ("ns", "us", "ms"):
        return f"{value / {'ns': 1e9, 'us': 1e6, 'ms': 1e3}[unit]:.3f} s"
    if unit == "millirt":
        return f"{value / 1000:.3f} RTs"
    return f"{value}"


def table(node, described, now, before, arguments):
    """Lines of one node."""
    stamp, stats = now
    rows = [("figure", "value", "per second", "what it is")]
    for name, value in stats.items():
        row = row_of(described, name)
        if not wanted(name, arguments.words) or (value == 0 and not arguments.zeros and not arguments.words):
            continue
        rate = ""
        if before and row["kind"] == "counter":
            rate = f"{(value - before[1].get(name, 0)) / max(stamp - before[0], 1e-9):.1f}"
        rows.append((name, shown_value(value, row["unit"]), rate, row["help"]))
    if len(rows) == 1:
        return []
    if not before:
        rows = [(a, b, d) for a, b, _, d in rows]
    about = node.info()
    head = f"{about['program']} {node.name}, pid {about['pid']}, version {about['version']}"
    if "port" in about:
        port = about["port"]
        why = f" ({port['steering_why']})" if port["steering_why"] else ""
        head += f", {port['device']} mtu {port['mtu']}, steering {port['steering']}{why}"
    return [head, *columns(rows, right={1, 2} if before else {1}), ""]


def latency(nodes, as_json):
    answers = {f"{n.kind} {n.name}": n.histograms() for n in nodes}
    if as_json:
        return [json.dumps(answers)]
    rows = [("node", "operation", "count", "mean us", "p50 us", "p99 us", "p99.9 us", "max us")]
    for node, histograms in answers.items():
        for name, h in histograms.items():
            if h["count"]:
                rows.append((node, name, str(h["count"]), f"{h['sum_ns'] / h['count'] / 1000:.1f}",
                             *(f"{h[key] / 1000:.1f}" for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns"))))
    return columns(rows, right=range(2, 8)) if len(rows) > 1 else ["nothing was served yet"]


def health(nodes, as_json):
    """(lines, everything is ready)"""
    found = {f"{n.kind} {n.name}": n.health() for n in nodes}
    good = all(h["ready"] for h in found.values())
    if as_json:
        return [json.dumps(found)], good
    rows = [("node", "lives", "ready", "why not")]
    rows += [(n, "yes" if h["live"] else "NO", "yes" if h["ready"] else "no", h["why"]) for n, h in found.items()]
    return columns(rows), good


def arguments_of(argv=None):
    to = parser(PROG, __doc__)
    to.add_argument("words", nargs="*", metavar="WORD", help="only figures whose name has one of these")
    to.add_argument("-w", "--watch-s", type=float, metavar="S", help="look again every S seconds (0.1 to 3600)")
    to.add_argument("-n", "--count", type=int, default=0, metavar="N", help="with -w: stop after N looks")
    to.add_argument("--worker", default="", metavar="W", help="figures of this worker of KNs alone")
    to.add_argument("--zeros", action="store_true", help="figures that are 0, too")
    to.add_argument("--latency", action="store_true", help="latency by kind of operation instead")
    to.add_argument("--health", action="store_true", help="health instead")
    to.add_argument("--json", action="store_true", help="JSON; with -w a line for each node and look")
    add_socket_option(to)
    arguments = to.parse_args(argv)
    if arguments.watch_s is not None and not 0.1 <= arguments.watch_s <= 3600:
        to.error(f"--watch-s is {arguments.watch_s}: it has to be from 0.1 to 3600")
    if arguments.count < 0:
        to.error(f"--count is {arguments.count}: it cannot be negative")
    return arguments


def show(nodes, described, before, arguments):
    """One look. Returns it, for the next one's rates."""
    now = {n.path: look(n, arguments.worker) for n in nodes}
    lines = []
    for node in nodes:
        if arguments.json:
            about = node.info()
            chosen = {k: v for k, v in now[node.path][1].items() if wanted(k, arguments.words)}
            line = {"unix_ms": int(time.time() * 1000), "program": about["program"], "node": node.name,
                    "pid": about["pid"], "stats": chosen}
            if arguments.watch_s and not before:  # once in a recording: dinomo-plot makes rates of counters
                line["kinds"] = {name: row["kind"] for name, row in described[node.path].items()}
            lines.append(json.dumps(line))
        else:
            lines += table(node, described[node.path], now[node.path], before.get(node.path), arguments)
    if not lines:
        raise Trouble(f"no figure has {' or '.join(arguments.words)} in its name; `dinomo-stats --zeros` lists all")
    if sys.stdout.isatty() and arguments.watch_s and not arguments.json:
        print("\033[H\033[2J", end="")
    print("\n".join(lines), flush=True)
    return now


def main():
    arguments = arguments_of()
    nodes = need_nodes(arguments.socket)
    if arguments.worker:
        nodes = [n for n in nodes if n.kind == "kn"]
        if not nodes:
            raise Trouble("--worker: there is no KN here")
    try:
        if arguments.health:
            lines, good = health(nodes, arguments.json)
            print("\n".join(lines))
            return EXIT_OK if good else EXIT_TROUBLE
        if arguments.latency:
            print("\n".join(latency(nodes, arguments.json)))
            return EXIT_OK
        described = {n.path: n.describe() for n in nodes}
        before = show(nodes, described, {}, arguments)
        looks = 1
        while arguments.watch_s and (arguments.count == 0 or looks < arguments.count):
            time.sleep(arguments.watch_s)
            before = show(nodes, described, before, arguments)
            looks += 1
    except NoAnswer as error:
        raise Trouble(f"a node is gone: {error}") from error
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
