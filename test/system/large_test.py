#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of large values: 60 KiB through client, IP fragments, engine, log, and back.

With jumbo frames a value of 8 KiB travels in one frame, both ways.

Usage: large_test.py BUILD [af_packet|af_xdp] [4|6] [MTU]
"""
import os
import subprocess
import sys

from cluster import Checks, Cluster, need_root

SIZES = (1300, 1440, 1500, 4000, 20_001, 32_768, 61_440)


def fragments(c):
    """What the client's kernel had to cut up, and to put together, since its namespace was made."""
    done = c.client(["cat", "/proc/net/snmp"])
    names, values = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("Ip:"))
    counts = dict(zip(names, map(int, values)))
    return counts["FragCreates"], counts["ReasmReqds"]


def refused(c, check):
    """A ring or a netdev that is too small for the MTU would lose frames without a word."""
    small = [a.replace(",blocksz=36864,framesz=9216", "") for a in c.kn_command()]
    for command, remedy in ((small, "blocksz=36864,framesz=9216"), ([*c.kn_command(), "--mtu", "9050"], "ip link set")):
        done = subprocess.run(command, env=c.environment, capture_output=True, text=True, timeout=60)
        check(f"refused, with {remedy}", done.returncode == 1 and remedy in done.stderr, done.stderr[-300:])


def jumbo(c, check):
    for size, one_frame in ((8192, True), (8800, True), (9000, False)):
        value = os.urandom(size)
        with open(c.path("given"), "wb") as file:
            file.write(value)
        before = fragments(c)
        done = c.cli("put", "jumbo", "--file", c.path("given"))
        check(f"put {size} bytes", done.returncode == 0, done.stderr)
        done = c.cli("get", "jumbo", "--output", c.path("got"))
        good = done.returncode == 0
        if good:
            with open(c.path("got"), "rb") as file:
                good = file.read() == value
        check(f"get {size} bytes", good, done.stderr)
        cut, joined = (after - b for after, b in zip(fragments(c), before))
        if one_frame:
            check.equal(f"{size} bytes travel in one frame, both ways", (cut, joined), (0, 0))
        else:
            check(f"{size} bytes do not", cut >= 2 and joined >= 2, f"({cut} sent, {joined} received)")


def main():
    need_root()
    vdev = sys.argv[2] if len(sys.argv) > 2 else "af_packet"
    family = sys.argv[3] if len(sys.argv) > 3 else "4"
    mtu = int(sys.argv[4]) if len(sys.argv) > 4 else 1500
    check = Checks(" ".join(sys.argv))
    with Cluster(sys.argv[1], vdev=vdev, ip6=family == "6", mtu=mtu) as c:
        c.start_dpm()
        if mtu > 1500:
            refused(c, check)
        # Room for a part of the values only: the others come from the pool.
        c.start_kn("--cache-bytes", "4m")
        c.wait_serving_or_skip()
        if mtu > 1500:
            jumbo(c, check)
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
