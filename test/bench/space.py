#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""PUT throughput while a pool that is 70 % full is overwritten 20 times, by real processes.

Usage: space.py BUILD [--times N] [--pool-mib N] [--json FILE]
Over memif, as memif.py. Values of 900 B. The keys that fill 70 % of the pool's segments are loaded, then
updated, uniformly and by Zipf's distribution, in ten parts of the same number of operations. An operation that
is refused (NO_SPACE) or lost fails the run.
"""
import json

from measure import CLIENT_CPU, Results, parse, parser, run_client
from memif import MemifCluster, json_part

VALUE_BYTES, ENTRY_BYTES, PARTS = 900, 968, 10
FULL = 0.7
SEGMENT = "1m"  # the pools here are small; a hundred segments as in a large one


class SpaceCluster(MemifCluster):
    def dpm_command(self, *extra):
        return super().dpm_command("--segment-bytes", SEGMENT, *extra)


def measure(options, distribution):
    with SpaceCluster(options.build, "s", pool_bytes=f"{options.pool_mib}m") as cluster:
        cluster.serve("--cache-bytes", "16m")
        space = cluster.wait_until(lambda: (cluster.stats("dpm") or {}).get("space"), "statistics of the DPM")
        keys = int(space["free_bytes"] * FULL / ENTRY_BYTES)
        operations = int(options.times * space["capacity_bytes"] / ENTRY_BYTES / PARTS)
        data = ["--keys", str(keys), "--key-bytes", "8", "--value-bytes", str(VALUE_BYTES),
                "--distribution", distribution, "--window", "64", "--timeout-ms", "20000"]
        run_client(cluster.bench_command("--phase", "load", *data))
        parts = []
        for part in range(PARTS):
            out, _ = run_client(cluster.bench_command("--phase", "run", "--update", "1", "--ops", str(operations),
                                                      "--seed", str(part + 1), "--warmup-seconds", "0", *data))
            parts.append(next(p for p in json.loads(json_part(out))["phases"] if p["phase"] == "run")["ops_per_s"])
        run_client(cluster.bench_command("--phase", "check", "--verify", *data))
        end = cluster.stats("dpm")
    copied = end["space"]["compacted_bytes"] / (operations * PARTS * ENTRY_BYTES)
    print(f"{distribution}: {keys} keys, {operations * PARTS} puts, by tenth: "
          f"{' '.join(f'{p / 1000:.0f}k' for p in parts)}", flush=True)
    return {"first_per_s": parts[0], "last_per_s": parts[-1], "least_per_s": min(parts),
            "ratio": parts[-1] / parts[0], "copied": copied}


class Table(Results):
    COLUMNS = (("first_per_s", "first tenth/s", "{:.0f}"), ("last_per_s", "last/s", "{:.0f}"),
               ("least_per_s", "least/s", "{:.0f}"), ("ratio", "last/first", "{:.2f}"),
               ("copied", "bytes copied a byte written", "{:.2f}"))


def main():
    p = parser(__doc__.splitlines()[0], rounds=1)
    p.add_argument("--times", type=float, default=20, help="how often the pool's size is written")
    p.add_argument("--pool-mib", type=int, default=512)
    options = parse(p)
    if options.smoke:
        options.times, options.pool_mib = 1, 160
    results = Table()
    for _ in range(options.rounds):
        for distribution in ("uniform", "zipfian"):
            results.add(distribution, measure(options, distribution))
    results.show(f"a pool of {options.pool_mib} MiB, {FULL:.0%} full, overwritten {options.times:g} times, client on "
                 f"CPU {CLIENT_CPU}", options)


if __name__ == "__main__":
    main()
