#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Watches the compute nodes (KNs) of a Dinomo cluster: what each serves, how often its caches answer, and
what a read costs in round trips to the pool. Exit status: 0, or 1 if no server answers."""
import argparse
import json
import os
import sys
import time

COLUMNS = (("KN", 4), ("address", 22), ("req/s", 9), ("GET/s", 9), ("write/s", 9), ("values", 7),
           ("shortc.", 7), ("misses", 7), ("RT/GET", 7), ("BUSY/s", 7), ("cache", 6))
READS = ("value_hits", "shortcut_hits", "unmerged_hits", "misses", "absent")
ROUND_TRIPS = ("shortcut_rts", "unmerged_rts", "miss_rts", "absent_rts")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="dinomo-top", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-s", "--server", metavar="HOST[:PORT],...",
                        help="KNs to begin with; default: DINOMO_SERVER of the environment, else 127.0.0.1")
    parser.add_argument("-i", "--interval-s", type=float, default=2.0, metavar="S",
                        help="seconds between two looks, 0.1 to 3600; default 2")
    parser.add_argument("-n", "--count", type=int, default=0, metavar="N",
                        help="stop after N tables; default: never")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each KN and look")
    arguments = parser.parse_args()
    if not 0.1 <= arguments.interval_s <= 3600:
        parser.error(f"--interval-s is {arguments.interval_s}: it has to be from 0.1 to 3600")
    if arguments.count < 0:
        parser.error(f"--count is {arguments.count}: it cannot be negative")
    return arguments


def look(dinomo, client):
    """{kn_slot: (address, seconds, counters)} of the KNs that answer."""
    kns = client.kns()
    results = client.call_many(dinomo.op.stats(kn.kn_slot) for kn in kns)
    now_s = time.monotonic()
    return {kn.kn_slot: (kn.address, now_s, json.loads(r.value)) for kn, r in zip(kns, results) if r.ok}


def figures(before, after):
    """What a KN did between two looks."""
    address, then_s, old = before
    _, now_s, new = after
    passed_s = max(now_s - then_s, 1e-9)
    # A KN that began anew in between counts from 0 again.
    if new["requests"] < old["requests"]:
        old = dict.fromkeys(old, 0)

    def done(*names):
        return sum(new.get(name, 0) - old.get(name, 0) for name in names)

    reads = done(*READS)
    share = {name: done(name) / reads if reads else None for name in READS}
    return {"address": address, "requests_per_s": done("requests") / passed_s,
            "gets_per_s": done("gets") / passed_s, "writes_per_s": done("entries") / passed_s,
            "value_hit_share": share["value_hits"], "shortcut_hit_share": share["shortcut_hits"],
            "miss_share": share["misses"], "rts_per_get": done(*ROUND_TRIPS) / reads if reads else None,
            "busy_per_s": done("refused_busy") / passed_s,
            "cache_share": new["cache_used_bytes"] / max(new["cache_budget_bytes"], 1)}


def row(kn_slot, f):
    def percent(x):
        return "-" if x is None else f"{100 * x:.1f}%"

    cells = (str(kn_slot), f["address"], f"{f['requests_per_s']:.0f}", f"{f['gets_per_s']:.0f}",
             f"{f['writes_per_s']:.0f}", percent(f["value_hit_share"]), percent(f["shortcut_hit_share"]),
             percent(f["miss_share"]), "-" if f["rts_per_get"] is None else f"{f['rts_per_get']:.2f}",
             f"{f['busy_per_s']:.0f}", percent(f["cache_share"]))
    return "  ".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS))


def show(before, after, as_json):
    both = {slot: figures(before[slot], after[slot]) for slot in sorted(after) if slot in before}
    if as_json:
        for slot, f in both.items():
            print(json.dumps({"unix_ms": int(time.time() * 1000), "kn_slot": slot, **f}))
    else:
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        print("  ".join(name.rjust(width) for name, width in COLUMNS))
        for slot, f in both.items():
            print(row(slot, f))
    sys.stdout.flush()


def main():
    arguments = parse_arguments()
    import dinomo  # pylint: disable=import-outside-toplevel  # --help works without the library
    try:
        with dinomo.Client(arguments.server) as client:
            before, shown = look(dinomo, client), 0
            while arguments.count == 0 or shown < arguments.count:
                time.sleep(arguments.interval_s)
                after = look(dinomo, client)
                show(before, after, arguments.json)
                before, shown = after, shown + 1
    except dinomo.DinomoError as error:
        print(f"dinomo-top: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
