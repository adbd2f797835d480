#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""INCR, APPEND and ADD by a client that repeats what is not answered, over a network that loses and doubles
datagrams, while dinomo-kn and dinomo-dpm are killed and restarted: everything counts exactly once.

    exactly_once_test.py BUILD_DIR [--kills N] [--operations N] [--seed S]
"""
import argparse
import json
import random
import signal
import subprocess
import sys
import time

import cluster


def spoil_network(c):
    """Both directions lose 2 % and double 2 %; False if this machine's kernel cannot."""
    for ns, interface in ((c.kn_ns, c.kn_if), (c.client_ns, c.client_if)):
        done = subprocess.run(["tc", "-n", ns, "qdisc", "add", "dev", interface, "root", "netem", "loss",
                               "2%", "duplicate", "2%"], capture_output=True, text=True)
        if done.returncode != 0:
            return False
    return True


def run(a):
    check = cluster.Checks(" ".join(sys.argv))
    chance = random.Random(a.seed)
    with cluster.Cluster(a.build) as c:
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        if not spoil_network(c):
            print("the network is left whole: no netem here (tc qdisc add ... netem)")
        counter = subprocess.Popen(
            c.in_client([c.tool("once_counter"), "--server", c.SERVER_IP, "--operations", str(a.operations)]),
            stdout=subprocess.PIPE, text=True)
        kills = 0
        try:
            while counter.poll() is None and kills < a.kills:
                time.sleep(chance.uniform(0.1, 0.6))
                victims = chance.choice((["kn"], ["dpm"], ["dpm", "kn"]))
                for victim in victims:
                    c.kill(victim, signal.SIGKILL)
                for victim in victims:
                    (c.start_dpm if victim == "dpm" else c.start_kn)()
                c.wait_serving()
                kills += 1
            out, _ = counter.communicate(timeout=300)
        finally:
            counter.kill()
            counter.wait()
        report = json.loads(out)
        print(f"{kills} kills: {report}")
        check.equal("exit status of the counter", counter.returncode, 0)
        check.equal("ran twice, or never", report["violations"], 0)
        check.equal("outcomes unknown", report["unknown"], 0)
        check.equal("one session through all of it", report["sessions"], 1)
        check("some were killed under load, and answers lost", kills >= min(3, a.kills) and report["timeouts"] > 0,
              f"{kills} kills, {report['timeouts']} time-outs")
        print(f"     sessions read from the pool since the last start: {c.counters()['session_lookups']}")
        c.end_in_order(check)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--operations", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    cluster.need_root()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
