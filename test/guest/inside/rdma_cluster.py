#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the guest: DPM on rxe0, KN on rxe1, a cable between the two; YCSB with every value checked.

    rdma_cluster.py BUILD_DIR [--loss PERCENT] [--devdax]
"""
import argparse
import subprocess
import sys

from devdax import make_devdax_pool
from paths import SMALL_YCSB, cluster, verify_test
from rdma import RdmaCluster


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--loss", type=float, default=0, help="percent of the RDMA packets")
    parser.add_argument("--devdax", action="store_true", help="the pool on persistent memory, without files")
    a = parser.parse_args()
    for end in ("ve0", "ve1"):
        if a.loss:
            subprocess.run(["tc", "qdisc", "replace", "dev", end, "root", "netem", "loss", f"{a.loss}%"],
                           check=True)
    check = cluster.Checks(" ".join(sys.argv))
    with RdmaCluster(a.build, pool_bytes="256m", memory_mb=256) as c:
        if a.devdax:
            c.pool = make_devdax_pool()
        c.start_dpm(*(["--require-power-safe"] if a.devdax else []))
        verify_test.verify(SMALL_YCSB, c, check)
        check.equal("persistence", c.stats("dpm")["persistence"], "dax" if a.devdax else "page-cache")
        with open(c.logs["kn"], encoding="utf-8") as log:
            text = log.read()
        check("the KN says that it uses verbs", "using verbs instead" in text)
        check("pairs are connected by librdmacm", "rxe1, pairs connected by librdmacm" in text)
        c.end_in_order(check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
