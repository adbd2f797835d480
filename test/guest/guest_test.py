#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What needs a kernel with soft-RoCE and persistent memory, in a small guest (guest.py).

    guest_test.py BUILD_DIR [--folder DIR] [--only TEXT]

BUILD_DIR is built for a CPU that QEMU emulates (-Dmachine=x86-64-v3). --folder keeps the guest's kernel
for the next run. --only: the steps with TEXT in their name. Last line: N passed, N failed, N skipped.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile

from guest import HERE, Guest

STEP_SECONDS = 240

SUITE = ("DPM_DEVICE=rxe0 KN_DEVICE={kn} DPM_HOST=10.9.0.1 CONNECT={connect} {build}/test/conformance/conformance_fabric_rdma_device "
         "--gtest_filter='*verbs*:RdmaErrors*'")
BY_RDMACM = SUITE.replace("{kn}", "rxe1").replace("{connect}", "rdmacm")
LOSS = "tc qdisc add dev ve0 root netem loss 1%; tc qdisc add dev ve1 root netem loss 1%; "

# name, what runs in the guest, whether the machine dies of it; steps share the persistent memory.
STEPS = (
    ("conformance, one soft-RoCE device, pairs over TCP",
     SUITE.replace("{kn}", "rxe0").replace("{connect}", "exchange"), False),
    ("conformance, two devices, librdmacm", BY_RDMACM, False),
    ("conformance, two devices, librdmacm, 1 % of packets lost", LOSS + BY_RDMACM, False),
    ("YCSB over soft-RoCE, KN and DPM", "{inside}/rdma_cluster.py {build}", False),
    ("YCSB over soft-RoCE, 1 % of packets lost", "{inside}/rdma_cluster.py {build} --loss 1", False),
    ("the cable is cut under load and mended", "{inside}/rdma_cut.py {build}", False),
    ("round trips over soft-RoCE", "{inside}/rdma_rt.py {build}", False),
    ("YCSB over soft-RoCE, the pool on devdax", "{inside}/rdma_cluster.py {build} --devdax", False),
    ("YCSB over shared memory, the pool on devdax", "{inside}/dax.py {build} devdax", False),
    ("pool on DAX: write, then panic", "{inside}/dax.py {build} write $JOB/journal", True),
    ("pool on DAX: all that was acknowledged", "{inside}/dax.py {build} check $JOB/journal", False),
    ("RDMA onto a DAX file is refused", "{inside}/dax.py {build} refuse", False),
)


def prepare(folder):
    done = subprocess.run([os.path.join(HERE, "prepare.sh"), folder], capture_output=True, text=True)
    if done.returncode == 77:
        print(f"skipped: {done.stdout.strip().removeprefix('skipped: ')}")
        print(f"0 passed, 0 failed, {len(STEPS)} skipped")
        sys.exit(0)
    if done.returncode != 0:
        print(done.stdout + done.stderr + "0 passed, 1 failed, 0 skipped")
        sys.exit(1)


def run_step(guest, name, script, dies):
    result = guest.run(script, STEP_SECONDS)
    good = result.panicked if dies else result.status == 0
    cases = re.search(r"\[  PASSED  \] (\d+) tests", result.output) or re.search(
        r"(\d+) checks, all passed", result.output)
    detail = f"({cases.group(1)} checks)" if cases else ""
    print("ok  " if good else "FAIL", name, detail, flush=True)
    if not good:
        print(f"status {result.status}\n{result.output[-8000:]}\n--- console\n{result.console[-3000:]}\n"
              f"replay: test/guest/guest_test.py BUILD --only {shlex.quote(name)}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--folder")
    parser.add_argument("--only", default="")
    a = parser.parse_args()
    steps = [step for step in STEPS if a.only in step[0]]
    if not steps:
        parser.error(f"no step has '{a.only}' in its name; there are: " + "; ".join(name for name, *_ in STEPS))
    if not os.path.isdir(a.build):
        parser.error(f"{a.build} is no build directory; test/ci/guest.sh makes one that fits")
    with tempfile.TemporaryDirectory(prefix="dinomo-guest-") as scratch:
        folder = os.path.abspath(a.folder or os.path.join(scratch, "kernel"))
        prepare(folder)
        names = {"build": shlex.quote(os.path.abspath(a.build)), "inside": os.path.join(HERE, "inside")}
        passed = failed = 0
        with Guest(folder, os.path.join(scratch, "pmem")) as guest:
            for name, script, dies in steps:
                for word, value in names.items():
                    script = script.replace("{" + word + "}", value)
                if run_step(guest, name, script, dies):
                    passed += 1
                else:
                    failed += 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
