#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Latency of GET while the index grows, beside the same load on an index that need not.

Usage: resize.py BUILD [--rounds N] [--keys N] [--json FILE]
Over memif, as memif.py. --keys are loaded (default 1 M), then as many GETs of them as inserts of new ones are
sent until there are eight times as many. Every GET walks the index (cache policy none). Two pools, in turns:
one grows from a bucket a key to eight times that, one has them all from the beginning.
"""
import json

from measure import CLIENT_CPU, Results, parse, parser, run_client
from memif import MemifCluster, json_part

GROWTH = 8
VALUE_BYTES = 64
POOL_BYTES_PER_KEY = 380  # entry, and both tables during the last doubling


def buckets_for(keys):
    return max(1024, 1 << (keys - 1).bit_length())


class ResizeCluster(MemifCluster):
    buckets = 0

    def dpm_command(self, *extra):
        return super().dpm_command("--index-buckets", str(self.buckets), *extra)


def measure(options, name, buckets):
    keys = options.keys
    pool_bytes = keys * GROWTH * POOL_BYTES_PER_KEY + (256 << 20)
    data = ["--keys", str(keys), "--key-bytes", "8", "--value-bytes", str(VALUE_BYTES), "--distribution", "uniform"]
    with ResizeCluster(options.build, "r", pool_bytes=str(pool_bytes)) as cluster:
        cluster.buckets = buckets
        cluster.serve("--cache-policy", "none")
        run_client(cluster.bench_command("--phase", "load", *data))
        before = cluster.stats("dpm")["index"]["buckets"]
        out, _ = run_client(cluster.bench_command(
            "--phase", "run", "--read", "0.5", "--insert", "0.5", "--ops", str(2 * keys * (GROWTH - 1)),
            "--warmup-seconds", "0", "--window", "32", "--pack", "1", *data))
        cluster.wait_until(lambda: cluster.stats("dpm")["items"] >= keys * GROWTH * 0.95, "merged inserts")
        after = cluster.stats("dpm")["index"]["buckets"]
    phase = next(p for p in json.loads(json_part(out))["phases"] if p["phase"] == "run")
    read = phase["kinds"]["read"]["latency"]
    if (after > before) != (name == "growing"):
        raise RuntimeError(f"{name}: {before} buckets became {after}")
    return {"ops_per_s": phase["ops_per_s"], "p50_us": read["p50_us"], "p99_us": read["p99_us"],
            "p999_us": read["p99.9_us"], "max_us": read["max_us"]}


def main():
    options = parse(parser(__doc__.splitlines()[0], rounds=3, keys=1 << 20))
    options.seconds = 0  # as long as the inserts take
    results = Results()
    variants = (("growing", buckets_for(options.keys)), ("large from the start", buckets_for(options.keys * GROWTH)))
    for round_number in range(options.rounds):
        for name, buckets in variants:
            results.add(name, measure(options, name, buckets))
        print(f"round {round_number + 1} of {options.rounds} done", flush=True)
    results.show(f"GETs while {options.keys} keys become {options.keys * GROWTH}, client on CPU {CLIENT_CPU}", options)
    growing, still = results.summary()
    print(f"p99.9 of GET: {growing['p999_us']:.0f} us while the index grows, {still['p999_us']:.0f} us without: "
          f"{growing['p999_us'] / still['p999_us']:.2f} times")


if __name__ == "__main__":
    main()
