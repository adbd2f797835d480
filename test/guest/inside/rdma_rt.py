#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the guest: the round trips of every class of operation over soft-RoCE, asserted as over shm.

    rdma_rt.py BUILD_DIR
"""
import sys

from paths import cluster, rt_test
from rdma import RdmaCluster

if __name__ == "__main__":
    cluster.Cluster = RdmaCluster
    sys.argv += ["--keys", "500"]
    sys.exit(rt_test.main())
