#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""GETs that cost one round trip each (cache of shortcuts), 64 in flight, over each fabric in turns:
shared memory, and mlx5 and verbs on a soft HCA. A model of the device on shared CPUs: the figures say
that it carries load, nothing about a NIC.

    fabrics.py BUILD_DIR [--seconds S] [--rounds N] [--keys N] [--json FILE] [--smoke]
"""
import contextlib
import os
import sys

from measure import PinnedCluster, Results, bench_result, parse, parser, run_client

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import need_root  # noqa: E402

WINDOW = "64"


def command(c, result, *arguments):
    return c.in_client([c.program("dinomo-bench"), "--server", c.server, "--quiet", "--json", result,
                        "--timeout-ms", "20000", "--window", WINDOW, *arguments])


def sample(c, options):
    result = c.path("bench.json")
    data = ["--keys", str(options.keys), "--value-bytes", str(options.value_sizes[0])]
    run_client(command(c, result, *data, "--phase", "run", "--workload", "c", "--seconds",
                       str(options.seconds), "--warmup-seconds", "0.2"))
    with open(result, encoding="utf-8") as file:
        return bench_result(file.read())


def main():
    options = parse(parser(__doc__.splitlines()[0], keys=20_000))
    need_root()
    results = Results()
    with contextlib.ExitStack() as stack:
        clusters = []
        for fabric in PinnedCluster.FABRICS:
            c = stack.enter_context(PinnedCluster(options.build, fabric[0], fabric=fabric, pool_bytes="768m"))
            c.start_dpm()
            c.start_kn("--cache-policy", "shortcut-only", "--cache-bytes", "64m")
            c.wait_serving()
            run_client(command(c, c.path("bench.json"), "--keys", str(options.keys), "--value-bytes",
                               str(options.value_sizes[0]), "--phase", "load"))
            clusters.append(c)
        for _ in range(options.rounds):
            for c in clusters:
                results.add(f"{c.fabric}, GET by shortcut, {WINDOW} in flight", sample(c, options))
    results.show("Fabrics", options)


if __name__ == "__main__":
    main()
