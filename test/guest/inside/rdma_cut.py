#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the guest: the cable between KN and DPM is cut under load and mended. (Soft-RoCE devices themselves
cannot be taken out while a process has them open.)

    rdma_cut.py BUILD_DIR
"""
import subprocess
import sys

from paths import cluster
from rdma import RdmaCluster

KEYS = [f"key-{i}" for i in range(8)]
ENDS = ("ve0", "ve1")


def tc(*arguments):
    for end in ENDS:
        subprocess.run(["tc", "qdisc", arguments[0], "dev", end, "root", *arguments[1:]], check=True)


def times_said(c, text):
    with open(c.logs["kn"], encoding="utf-8") as log:
        return log.read().count(text)


def main():
    check = cluster.Checks(" ".join(sys.argv))
    with RdmaCluster(sys.argv[1], pool_bytes="256m", memory_mb=256) as c:
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        for key in KEYS:
            check.equal(f"put {key}", c.cli("put", key, f"value of {key}").returncode, 0)
        load = subprocess.Popen(c.in_client([c.program("dinomo-bench"), "--server", c.SERVER_IP, "--keys", "2000",
                                             "--value-bytes", "100", "--workload", "a", "--seconds", "100"]),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        asked = c.counters()["requests"]
        c.wait_until(lambda: c.counters()["requests"] > asked + 1000, "load")
        tc("replace", "netem", "loss", "100%")
        c.wait_until(lambda: c.stats("kn").get("phase") != "serving", "the KN to notice")
        check("cut: both live", c.alive("kn") and c.alive("dpm"))
        served = times_said(c, "serving: KN slot")
        tc("delete")
        c.wait_until(lambda: times_said(c, "serving: KN slot") > served, "the KN to serve again")
        check("mended: in use by", times_said(c, "pairs connected by librdmacm") == 2)
        load.terminate()
        load.wait()
        c.wait_serving()
        for key in KEYS:
            read = c.cli("--timeout-ms", "20000", "get", key)
            check.equal(f"mended: {key}", read.stdout.strip(), f"value of {key}")
        c.end_in_order(check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
