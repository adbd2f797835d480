#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""YCSB A, B, C, D and F, each with a cache of 1, 10 and 100 % of the data: every value read is checked.

    verify_test.py BUILD_DIR [--keys N] [--seconds S] [--seed N] [--vdev af_packet|af_xdp] [--ip6]
        [--workloads LETTERS] [--cache PERCENT ...] [--fabric shm|mlx5-soft|verbs-soft] [--full]

--full is 1 M keys of 1 KB and 5 s a workload.
"""
import argparse
import shutil
import sys

import cluster

VALUE_BYTES = 1024
ENTRY_BYTES = 64 + 24 + VALUE_BYTES + 64  # in the log: header, key, value, padding
CACHE_BYTES_MIN = 1 << 20
WORKLOADS = "abcdf"


def pool_bytes(keys, seconds):
    """Room for the data and for all that is overwritten before it can be reclaimed."""
    writes = 3 * 2 * seconds * 60_000  # cache sizes x write-heavy workloads x a generous rate
    return int(keys * ENTRY_BYTES * 1.3 + writes * ENTRY_BYTES + (256 << 20))


def check_phase(check, name, phase):
    counts = phase["counts"]
    wrong = {k: counts[k] for k in ("wrong", "lost", "refused", "outcome_unknown") if counts[k]}
    reads = sum(kind["ops"] for name, kind in phase["kinds"].items() if name != "load")
    share = phase["kn"]["summary"].get("share", {})
    check(name, phase["ok"] and not wrong and (counts["verified"] > 0 or not reads),
          f"{phase['ops']} operations, {counts['verified']} values verified; wrong {counts['wrong']}, "
          f"missing {counts['missing']}, lost {counts['lost']}, refused {counts['refused']}; reads: "
          + ", ".join(f"{what} {part:.0%}" for what, part in share.items() if part > 0)
          + "".join("\n     " + text for text in phase["wrong_answers"]))


def run(a):
    check = cluster.Checks(f"{' '.join(sys.argv)}")
    data = a.keys * VALUE_BYTES
    common = ["--keys", str(a.keys), "--value-bytes", str(VALUE_BYTES), "--seed", str(a.seed),
              "--timeout-ms", "20000"]
    with cluster.Cluster(a.build, pool_bytes=str(pool_bytes(a.keys, a.seconds)), vdev=a.vdev,
                         ip6=a.ip6, fabric=a.fabric, memory_mb=384 + 2 * data // (1 << 20)) as c:
        c.start_dpm()
        loaded = False
        for percent in a.cache:
            cache_bytes = max(CACHE_BYTES_MIN, data * percent // 100)
            c.start_kn("--cache-bytes", str(cache_bytes))
            c.wait_serving_or_skip()
            if a.ip6 and not loaded:
                ping = c.client(["ping", "-6", "-c", "3", c.SERVER_IP6])
                check("ping -6", " 0% packet loss" in ping.stdout, ping.stdout[-80:].strip())
                check.equal("dinomo-cli put over IPv6", c.cli("put", "six", "value").returncode, 0)
                check.equal("dinomo-cli get over IPv6", c.cli("get", "six").stdout, "value")
            if not loaded:
                check_phase(check, f"load of {a.keys} keys",
                            c.bench(*common, "--phase", "load", good=False))
                loaded = True
            for workload in a.workloads:
                phase = c.bench(*common, "--phase", "run", "--workload", workload, "--seconds",
                                str(a.seconds), "--warmup-seconds", "0.2", "--verify", good=False)
                check_phase(check, f"cache {percent:3d} % workload {workload.upper()}", phase)
            phase = c.bench(*common, "--phase", "check", "--verify", good=False)
            check_phase(check, f"cache {percent:3d} % every key read at the end", phase)
            check.equal("KN ends in order", c.kill("kn", cluster.signal.SIGTERM), 0)
        c.end_in_order(check)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--keys", type=int, default=104_900)  # 1 % of it is the smallest cache
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vdev", default="af_packet", choices=("af_packet", "af_xdp"))
    parser.add_argument("--ip6", action="store_true", help="over IPv6 and nothing else")
    parser.add_argument("--workloads", default=WORKLOADS)
    parser.add_argument("--cache", type=int, nargs="+", default=[1, 10, 100], metavar="PERCENT")
    parser.add_argument("--fabric", default="shm", choices=cluster.Cluster.FABRICS)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.keys, arguments.seconds = 1_000_000, 5
    cluster.need_root()
    if arguments.ip6 and shutil.which("ping") is None:
        cluster.skip("needs ping (apt install iputils-ping)")
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
