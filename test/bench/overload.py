#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Goodput beyond saturation: half reads, half updates, in an open loop at once, twice and three times the
most that a closed loop got. What is not served in time is repeated by the clients, as in life.

    overload.py BUILD_DIR [--seconds S] [--rounds N] [--keys N] [--values BYTES] [--json FILE] [--smoke]
"""
import json
import os
import statistics
import sys

from measure import PinnedCluster, Results, bench_result, parse, parser, run_client

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import need_root  # noqa: E402

THREADS, WINDOW = "4", "4096"  # in flight: so many that the server's limits count, not these
TIMES = (1, 2, 3)
GOODPUT_LEAST = 0.8  # of the peak, at TIMES[-1]


def sample(c, options, *load):
    result = c.path("bench.json")
    run_client(c.in_client([c.program("dinomo-bench"), "--server", c.server, "--quiet", "--json", result,
                            "--keys", str(options.keys), "--value-bytes", str(options.value_sizes[0]),
                            "--phase", "run", "--workload", "a", "--seconds", str(options.seconds),
                            "--warmup-seconds", "0.5", "--threads", THREADS, "--timeout-ms", "3000",
                            "--allow-lost", *load]))
    with open(result, encoding="utf-8") as file:
        text = file.read()
    phase = next(p for p in json.loads(text)["phases"] if p["phase"] == "run")
    client = phase["client"]
    return {**bench_result(text), "lost": phase["counts"]["lost"], "refused": phase["counts"]["refused"],
            "busy": client.get("busy", 0), "timeouts": client.get("timeouts", 0)}


def show_counts(results):
    """What became of the rest."""
    for point, samples in results.samples.items():
        counts = {n: statistics.median(s[n] for s in samples) / samples[0]["operations"]
                  for n in ("busy", "timeouts", "lost", "refused")}
        print(point.ljust(24), ", ".join(f"{n} {v:.4f}" for n, v in counts.items()), "an operation")


def main():
    options = parse(parser(__doc__.splitlines()[0], keys=20_000))
    need_root()
    results = Results()
    with PinnedCluster(options.build, "o") as c:
        c.serve("--cache-bytes", "128m", "--session-window", WINDOW)
        run_client(c.in_client([c.program("dinomo-bench"), "--server", c.server, "--quiet", "--keys",
                                str(options.keys), "--value-bytes", str(options.value_sizes[0]),
                                "--phase", "load"]))
        for _ in range(options.rounds):
            peak = sample(c, options, "--window", "256")
            results.add("closed loop", peak)
            for times in TIMES:
                rate = times * peak["ops_per_s"]
                results.add(f"open loop, {times} x", sample(c, options, "--window", WINDOW, "--rate",
                                                            str(rate)))
    results.show("Goodput beyond saturation", options)
    show_counts(results)
    rates = {r["point"]: r["ops_per_s"] for r in results.summary()}
    share = rates[f"open loop, {TIMES[-1]} x"] / max(rates.values())
    print(f"goodput at {TIMES[-1]} x: {share:.0%} of the peak")
    if options.smoke:  # too short to say anything of speed
        return 0
    return 0 if share >= GOODPUT_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
