# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts of the guest use of the system tests."""
import os
import sys
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "system"))
import cluster  # noqa: E402,F401
import rt_test  # noqa: E402,F401
import verify_test  # noqa: E402,F401

SMALL_YCSB = SimpleNamespace(keys=2000, seconds=2, seed=1, cache=[10], workloads="abcdf", ip6=False)
