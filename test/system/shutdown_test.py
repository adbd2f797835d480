#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Orderly ends: KN then DPM, DPM first, KN alone without a DPM, and a KN's end under load. Nothing is
lost, each exits with 0, and whoever is left says what it waits for.

    shutdown_test.py BUILD_DIR [--keys N] [--seed N]
"""
import argparse
import json
import shutil
import signal
import subprocess
import sys

import cluster


def said(c, name, *words):
    with open(c.path(f"{name}.log"), encoding="utf-8", errors="replace") as file:
        text = file.read()
    return all(w in text for w in words)


def all_there(c, check, common, what, keys):
    phase = c.bench(*common, "--phase", "check", "--verify", good=False)
    counts = phase["counts"]
    check(f"{what}: every key is there", phase["ok"] and counts["verified"] >= keys,
          f"({counts['verified']} values verified, {counts['wrong']} wrong, {counts['lost']} lost)")


def in_order(c, check, common, keys):
    c.start_dpm()
    c.start_kn()
    c.wait_serving()
    c.bench(*common, "--phase", "load")
    check.equal("SIGTERM to the KN: exit status", c.kill("kn", signal.SIGTERM), 0)
    check.equal("SIGTERM to the DPM: exit status", c.kill("dpm", signal.SIGTERM), 0)
    check("the DPM says that the pool is closed", said(c, "dpm", "the pool is closed in order"))
    if shutil.which("pmempool"):
        info = subprocess.run(["pmempool", "info", c.path("pool")], capture_output=True, text=True)
        check("pmempool info understands the pool", info.returncode == 0 and "dinomo-1" in info.stdout)
        healthy = subprocess.run(["pmempool", "check", c.path("pool")], capture_output=True, text=True)
        check("pmempool check finds it consistent", healthy.returncode == 0, healthy.stdout.strip())
    else:
        print("     pmempool is not installed (apt install pmdk-tools): its view was not checked")
    c.start_dpm()
    c.start_kn()
    c.wait_serving()
    recovery = c.wait_until(lambda: c.stats("dpm"), "statistics of the DPM")["recovery"]
    check("restart: recovery after a clean stop", recovery["clean"], f"({recovery})")
    check.equal("restart: items", recovery["items"], keys)
    check.equal("restart: nothing was left to merge", recovery["entries_merged"], 0)
    all_there(c, check, common, "restart", keys)


def dpm_first(c, check, common, keys):
    c.bench(*common, "--phase", "load")
    check.equal("SIGTERM to the DPM first: exit status", c.kill("dpm", signal.SIGTERM), 0)
    c.wait_until(lambda: said(c, "kn", "dinomo-dpm is gone"), "the KN's complaint")
    check("the KN says so and stays", c.alive("kn"))
    answer = c.cli("--timeout-ms", "500", "put", "key", "value")
    check("a client is told", answer.returncode in (3, 4), answer.stderr.strip())
    c._unlink("kn.json")
    c.start_dpm()
    c.wait_serving()
    check("the DPM is back: the KN serves again", c.alive("kn"))
    all_there(c, check, common, "after the DPM's return", keys)
    check.equal("put again", c.cli("--timeout-ms", "20000", "put", "key", "value").returncode, 0)
    check.equal("DPM", c.kill("dpm", signal.SIGTERM), 0)
    check.equal("SIGTERM to a KN without its DPM: exit status", c.kill("kn", signal.SIGTERM), 0)


def under_load(c, check, common, keys, seed):
    c.start_dpm()
    c.start_kn()
    c.wait_serving()
    result = c.path("load.json")
    load = subprocess.Popen(
        c.in_client([c.program("dinomo-bench"), "--server", c.server, "--quiet", *common, "--phase",
                     "run", "--workload", "a", "--seconds", "6", "--verify", "--allow-lost", "--seed",
                     str(seed), "--json", result]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        c.wait_until(lambda: (c.stats("kn") or {}).get("kn", {}).get("puts", 0) > 100, "writes")
        check.equal("SIGTERM to the KN under load: exit status", c.kill("kn", signal.SIGTERM), 0)
        c.start_kn()
        c.wait_serving()
        said_by_load = load.communicate(timeout=120)[0]
    finally:
        load.kill()
        load.wait()
    with open(result, encoding="utf-8") as file:
        counts = json.load(file)["phases"][-1]["counts"]
    check("load over a restart: nothing acknowledged is lost",
          load.returncode == 0 and counts["wrong"] == 0 and counts["verified"] > 0,
          f"({counts})" if load.returncode == 0 else said_by_load)
    all_there(c, check, common, "after the load", keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--keys", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    cluster.need_root()
    check = cluster.Checks(" ".join(sys.argv))
    common = ["--keys", str(a.keys), "--value-bytes", "512", "--timeout-ms", "20000"]
    with cluster.Cluster(a.build) as c:
        in_order(c, check, common, a.keys)
        dpm_first(c, check, common, a.keys)
        under_load(c, check, common, a.keys, a.seed)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
