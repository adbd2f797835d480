#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of large values: 60 KiB through client, IP fragments, engine, log, and back.

Usage: large_test.py BUILD [af_packet|af_xdp] [4|6]
"""
import os
import sys

from cluster import Checks, Cluster, need_root

SIZES = (1300, 1440, 1500, 4000, 20_001, 32_768, 61_440)


def main():
    need_root()
    vdev = sys.argv[2] if len(sys.argv) > 2 else "af_packet"
    family = sys.argv[3] if len(sys.argv) > 3 else "4"
    check = Checks(" ".join(sys.argv))
    with Cluster(sys.argv[1], vdev=vdev, ip6=family == "6") as c:
        c.start_dpm()
        # Room for a part of the values only: the others come from the pool.
        c.start_kn("--cache-bytes", "4m")
        c.wait_serving_or_skip()
        given, got = c.path("given"), c.path("got")
        values = {}
        for size in SIZES:
            values[size] = os.urandom(size)
            with open(given, "wb") as file:
                file.write(values[size])
            done = c.cli("put", f"key{size}", "--file", given)
            check(f"put {size} bytes", done.returncode == 0, done.stderr)
        for size in SIZES:
            done = c.cli("get", f"key{size}", "--output", got)
            good = done.returncode == 0
            if good:
                with open(got, "rb") as file:
                    good = file.read() == values[size]
            check(f"get {size} bytes", good, done.stderr)
        with open(given, "wb") as file:
            file.write(bytes(61_441))
        done = c.cli("put", "k", "--file", given)
        check("one byte more is refused", done.returncode == 2 and "61440" in done.stderr, done.stderr)
        ran = c.bench("--keys", "400", "--value-bytes", "100-61440", "--workload", "a", "--ops", "1500",
                      "--window", "8", "--warmup-seconds", "0", "--verify")
        check("every value read was right", ran["ok"] and ran["ops"] >= 1500, str(ran["ops"]))
        check.equal("malformed replies", ran["client"]["malformed"], 0)
        counters = c.counters()
        check("some values came from the cache and some from the pool",
              counters["value_hits"] > 0 and counters["gets"] > counters["value_hits"])
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
