#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A live view of a Dinomo cluster: what each compute node (KN) serves, how often its cache answers, what a read costs in
round trips to the pool; and of the nodes on this machine latency by kind of operation, merge lag and space of the pool.

On a terminal it fills the screen until q is pressed; elsewhere, and with --count, it prints a table for each look.
Exit status: 0; 1 if no server answers; 2 if wrongly used."""
import curses
import json
import os
import sys
import time

from dinomo_tools import EXIT_OK, Trouble, parser, run
from dinomo_tools.telemetry import NoAnswer, find_nodes

PROG = "dinomo-top"
READS = ("value_hits", "shortcut_hits", "unmerged_hits", "misses", "absent")
ROUND_TRIPS = ("shortcut_rts", "unmerged_rts", "miss_rts", "absent_rts")
# Columns of the table of KNs: title, width, what stands in it, and when it goes if the terminal is narrow: the highest first.
COLUMNS = (("KN", 3, lambda s, f: str(s), 0), ("address", 21, lambda s, f: f["address"], 7),
           ("part.", 5, lambda s, f: str(f["partitions"]), 0), ("req/s", 8, lambda s, f: amount(f["requests_per_s"]), 0),
           ("GET/s", 8, lambda s, f: amount(f["gets_per_s"]), 1), ("write/s", 8, lambda s, f: amount(f["writes_per_s"]), 0),
           ("values", 6, lambda s, f: percent(f["value_hit_share"]), 0), ("shortc", 6, lambda s, f: percent(f["shortcut_hit_share"]), 0),
           ("unmerg", 6, lambda s, f: percent(f["unmerged_hit_share"]), 6), ("absent", 6, lambda s, f: percent(f["absent_share"]), 8),
           ("misses", 6, lambda s, f: percent(f["miss_share"]), 0), ("RT/GET", 6, lambda s, f: two(f["rts_per_get"]), 0),
           ("BUSY/s", 6, lambda s, f: amount(f["busy_per_s"]), 2), ("lag", 6, lambda s, f: amount(f["unmerged_entries"]), 0),
           ("cache", 6, lambda s, f: percent(f["cache_share"]), 0), ("busy", 6, lambda s, f: percent(f["busy_share"]), 3),
           ("ask us", 7, lambda s, f: amount(f["ask_us"]), 4), ("sessions", 8, lambda s, f: str(f["sessions"]), 9))
LATENCY = (("operation", 14), ("/s", 9), ("mean us", 9), ("p50 us", 9), ("p99 us", 9), ("p99.9 us", 9))


def percent(x):
    return "-" if x is None else f"{100 * x:.1f}%" if x < 0.9995 else "100%"


def two(x):
    return "-" if x is None else f"{x:.2f}"


def amount(x):
    """At most 7 characters."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if x >= size:
            return f"{x / size:.2f}{unit}"
    return f"{x:.0f}" if x >= 10 else f"{x:.1f}".removesuffix(".0")


def size(value):
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if value >= 1 << shift:
            return f"{value / (1 << shift):.1f} {unit}"
    return f"{value} B"


def arguments_of():
    to = parser(PROG, __doc__)
    to.add_argument("-s", "--server", metavar="HOST[:PORT],...",
                    help="KNs to begin with; default: DINOMO_SERVER of the environment, else 127.0.0.1")
    to.add_argument("-i", "--interval-s", type=float, default=2.0, metavar="S", help="seconds between two looks, 0.1 to 3600; default 2")
    to.add_argument("-n", "--count", type=int, default=0, metavar="N", help="print N tables, then stop; default: never")
    to.add_argument("--json", action="store_true", help="one line of JSON for each KN and look")
    to.add_argument("--no-local", action="store_true", help="do not look for nodes on this machine")
    arguments = to.parse_args()
    if not 0.1 <= arguments.interval_s <= 3600:
        to.error(f"--interval-s is {arguments.interval_s}: it has to be from 0.1 to 3600")
    if arguments.count < 0:
        to.error(f"--count is {arguments.count}: it cannot be negative")
    return arguments


class Local:
    """Nodes on this machine, by their telemetry. Those that this user may not ask count as not there."""

    def __init__(self, wanted):
        self.wanted = wanted

    def look(self):
        """(seconds, {(pid, kind of operation): histogram}, [DPM's figures])"""
        histograms, dpms = {}, []
        try:
            nodes = find_nodes() if self.wanted else []
        except PermissionError:
            nodes = []
        for node in nodes:
            with node:
                try:
                    if node.kind == "dpm":
                        dpms.append({"name": node.name, **node.stats()})
                    else:
                        histograms |= {(node.info()["pid"], name): h for name, h in node.histograms().items()}
                except NoAnswer:
                    continue
        return time.monotonic(), histograms, dpms


def between(before, after):
    """{kind of operation: {ns up to which: how many}, sum_ns} of what was done between two looks at all local KNs."""
    found = {}
    for key, new in after[1].items():
        old = before[1].get(key, {"count": 0})
        if new["count"] < old["count"]:
            old = {"count": 0}
        counts = dict(zip(new.get("last_ns", []), new.get("counts", [])))
        for last, count in zip(old.get("last_ns", []), old.get("counts", [])):
            counts[last] = counts.get(last, 0) - count
        to = found.setdefault(key[1], {"sum_ns": 0, "counts": {}})
        to["sum_ns"] += new["sum_ns"] - old.get("sum_ns", 0)
        for last, count in counts.items():
            if count > 0:
                to["counts"][last] = to["counts"].get(last, 0) + count
    return found


def percentile_us(counts, part):
    left = part * sum(counts.values())
    for last, count in sorted(counts.items()):
        left -= count
        if left <= 0:
            return last / 1000
    return 0.0


def latency_lines(before, after, width):
    rows = []
    for name, h in between(before, after).items():
        count = sum(h["counts"].values())
        if count:
            rows.append((name, amount(count / max(after[0] - before[0], 1e-9)), f"{h['sum_ns'] / count / 1000:.1f}",
                         *(f"{percentile_us(h['counts'], part):.1f}" for part in (0.5, 0.99, 0.999))))
    if not rows:
        return []
    titles = "  ".join(name.ljust(w) if i == 0 else name.rjust(w) for i, (name, w) in enumerate(LATENCY))
    return ["", "latency of the KNs on this machine", titles,
            *("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, (_, w)) in enumerate(zip(row, LATENCY)))[:width] for row in rows)]


def dpm_lines(before, after):
    lines = []
    olds = {dpm["name"]: dpm for dpm in before[2]}
    for new in after[2]:
        old = olds.get(new["name"], new)
        merged = max(new["merge_entries"] - old["merge_entries"], 0) / max(after[0] - before[0], 1e-9)
        used = new["space_capacity_bytes"] - new["space_free_bytes"]
        lines.append(f"DPM {new['name']}: {size(used)} of {size(new['space_capacity_bytes'])} used, {size(new['space_live_bytes'])} live, "
                     f"{amount(new['items'])} items")
        lines.append(f"  merge: {amount(merged)} entries/s, {amount(new['merge_lag_entries'])} behind; "
                     f"segments: {new['segments_open']} open, {new['segments_free']} free")
    return lines


def look(dinomo, client):
    """{kn_slot: (KN, seconds, counters, time of the answer)} of the KNs that answer."""
    kns = client.kns()
    results = client.call_many(dinomo.op.stats(kn.kn_slot) for kn in kns)
    now_s = time.monotonic()
    return {kn.kn_slot: (kn, now_s, json.loads(r.value), r.latency_ns / 1000) for kn, r in zip(kns, results) if r.ok}


def figures(before, after):
    """What a KN did between two looks."""
    _, then_s, old, _ = before
    kn, now_s, new, ask_us = after
    passed_s = max(now_s - then_s, 1e-9)
    # A KN that began anew in between counts from 0 again.
    if new["requests"] < old["requests"]:
        old = dict.fromkeys(old, 0)

    def done(*names):
        return sum(new.get(name, 0) - old.get(name, 0) for name in names)

    reads = done(*READS)
    share = {name: done(name) / reads if reads else None for name in READS}
    return {"address": kn.address, "partitions": kn.partitions, "workers": kn.workers,
            "requests_per_s": done("requests") / passed_s, "gets_per_s": done("gets") / passed_s,
            "writes_per_s": done("entries") / passed_s, "value_hit_share": share["value_hits"],
            "shortcut_hit_share": share["shortcut_hits"], "unmerged_hit_share": share["unmerged_hits"],
            "absent_share": share["absent"], "miss_share": share["misses"],
            "rts_per_get": done(*ROUND_TRIPS) / reads if reads else None, "busy_per_s": done("refused_busy") / passed_s,
            "busy_share": done("busy_ns") / 1e9 / passed_s / max(kn.workers, 1), "unmerged_entries": new["unmerged_entries"],
            "cache_share": new["cache_used_bytes"] / max(new["cache_budget_bytes"], 1), "sessions": new["sessions"],
            "ask_us": ask_us}


def fitting(width):
    """Columns that a line has room for."""
    left = list(COLUMNS)
    while sum(c[1] for c in left) + 2 * (len(left) - 1) > width and any(c[3] for c in left):
        left.remove(max(left, key=lambda c: c[3]))
    return left


def tables(both, local, width):
    """Lines of a look."""
    columns = fitting(width)
    gap = "  " if sum(c[1] for c in columns) + 2 * (len(columns) - 1) <= width else " "
    lines = [gap.join(c[0].rjust(c[1]) for c in columns)]
    lines += [gap.join(c[2](slot, f).rjust(c[1]) for c in columns) for slot, f in both.items()]
    if len(both) > 1:
        def total(key):
            return amount(sum(f[key] for f in both.values()))
        lines.append(f"all {len(both)} KNs: {total('requests_per_s')} requests/s, {total('gets_per_s')} GETs/s, "
                     f"{total('writes_per_s')} writes/s")
    below = dpm_lines(*local)
    return [*lines, *([""] if below else []), *below, *latency_lines(*local, width)]


class Looks:
    """Looks again and again."""

    def __init__(self, dinomo, client, local):
        self.dinomo, self.client, self.local = dinomo, client, local
        self.before, self.local_before = look(dinomo, client), local.look()

    def next(self):
        after, local_after = look(self.dinomo, self.client), self.local.look()
        both = {slot: figures(self.before[slot], after[slot]) for slot in sorted(after) if slot in self.before}
        local = self.local_before, local_after
        self.before, self.local_before = after, local_after
        return both, local


def as_lines(looks, arguments):
    shown = 0
    while arguments.count == 0 or shown < arguments.count:
        time.sleep(arguments.interval_s)
        both, local = looks.next()
        if arguments.json:
            for slot, f in both.items():
                print(json.dumps({"unix_ms": int(time.time() * 1000), "kn_slot": slot, **f}))
        else:
            # What is read by a program has all columns.
            width = os.get_terminal_size().columns if sys.stdout.isatty() else 1000
            print("\n".join([*([""] if shown else []), *tables(both, local, width)]))
        sys.stdout.flush()
        shown += 1


def full_screen(window, looks, interval_s):
    curses.use_default_colors()
    try:
        curses.curs_set(0)
    except curses.error:
        pass  # a terminal whose cursor stays
    both, local, due = {}, None, time.monotonic() + interval_s
    while True:
        height, width = window.getmaxyx()
        head = f"{PROG}   {time.strftime('%H:%M:%S')}, every {interval_s:g} s"
        body = tables(both, local, width - 1) if local else ["the first figures come after one interval"]
        if local and not both:
            body = ["no KN answers"]
        window.erase()
        for y, line in enumerate([head.ljust(width - 9) + "q quits", "", *body][:height]):
            window.addnstr(y, 0, line, width - 1,
                           curses.A_REVERSE if y == 0 else curses.A_BOLD if y == 2 and both else 0)
        window.refresh()
        window.timeout(max(int(1000 * (due - time.monotonic())), 0))
        key = window.getch()
        if key in (ord("q"), ord("Q"), 27):
            return
        if key == -1 and time.monotonic() >= due:
            both, local = looks.next()
            due = time.monotonic() + interval_s


def main():
    arguments = arguments_of()
    try:
        import dinomo  # pylint: disable=import-outside-toplevel  # --help works without the library
    except (ImportError, OSError) as error:
        raise Trouble(f"the Python module dinomo cannot be loaded ({error}): install the package dinomo, or set PYTHONPATH and "
                      "LD_LIBRARY_PATH") from error
    try:
        with dinomo.Client(arguments.server) as client:
            looks = Looks(dinomo, client, Local(not arguments.no_local and not arguments.json))
            if sys.stdout.isatty() and sys.stdin.isatty() and not arguments.count and not arguments.json:
                curses.wrapper(full_screen, looks, arguments.interval_s)
            else:
                as_lines(looks, arguments)
    except dinomo.DinomoError as error:
        raise Trouble(f"{error}; --server HOST[:PORT] names a KN") from error
    except curses.error as error:
        raise Trouble(f"this terminal cannot be used ({error}): set TERM, or give --count") from error
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
