#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two workers behind a port with one receive queue: what is not the receiving worker's is handed over.
And what a deployment costs that serves but has nothing to do.

    workers_test.py BUILD_DIR [--keys N] [--seed N]
"""
import argparse
import json
import os
import subprocess
import sys
import time

import cluster

IDLE_SECONDS = 3
IDLE_CPU_MAX = 0.15  # of one CPU, KN and DPM together: spinning would be 1 and more


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(c, check, what):
    pids = [c.processes[name].pid for name in ("kn", "dpm")]
    # Merges and retries of what went before come to an end first.
    time.sleep(0.5)
    before, began = sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(IDLE_SECONDS)
    share = (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - began)
    check(f"{what}: idle costs less than {IDLE_CPU_MAX:.0%} of a CPU", share < IDLE_CPU_MAX,
          f"({share:.1%})")
    check("it still serves", c.cli("put", "after", "rest").returncode == 0)


def stats_tool(c, *arguments):
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "usertools", "dinomo-stats.py")
    done = subprocess.run([sys.executable, tool, *arguments], env=c.environment, capture_output=True, text=True, timeout=60)
    return done.stdout


def steering(c, check):
    """The port has one receive queue for two workers, and says so wherever one may look."""
    why = "software (the port has one receive queue)"
    with open(c.logs["kn"], encoding="utf-8") as log:
        check("the start line tells how datagrams are steered", f"steering {why}" in log.read())
    check("so does dinomo-stats", f"net_af_packet mtu 1500, steering {why}" in stats_tool(c), stats_tool(c)[:300])
    lines = [json.loads(line) for line in stats_tool(c, "--json").splitlines()]
    figures = next(line["stats"] for line in lines if line["program"] == "dinomo-kn")
    check.equal("and the figures", figures["steering"], 3)
    check("what the port dropped is counted", figures["port_missed"] >= 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    cluster.need_root()
    check = cluster.Checks(" ".join(sys.argv))
    common = ["--keys", str(a.keys), "--value-bytes", "512", "--timeout-ms", "20000", "--seed",
              str(a.seed)]
    last = (os.cpu_count() or 1) - 1
    with cluster.Cluster(a.build, lcores=f"0@0,1@{last},2@{last}", telemetry=True) as c:
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        steering(c, check)
        idle(c, check, "two workers, new")
        ring = json.loads(c.cli("--json", "ring").stdout)
        check.equal("the ring tells clients of two workers", ring["kns"][0]["workers"], 2)
        before = c.counters()
        for arguments in (["--phase", "load"], ["--phase", "run", "--workload", "a", "--ops", "50000"],
                          ["--phase", "run", "--workload", "f", "--ops", "20000"], ["--phase", "check"]):
            phase = c.bench(*common, *arguments, "--warmup-seconds", "0", "--verify", good=False)
            counts = phase["counts"]
            check(f"two workers: {' '.join(arguments)}", phase["ok"] and counts["wrong"] == 0,
                  f"({phase['ops']} operations, {counts['verified']} verified, wrong {counts['wrong']}, "
                  f"lost {counts['lost']})")
        after = c.counters()
        grew = {k: after[k] - before[k] for k in ("datagrams_in", "handed_over", "refused_owner")}
        # About half of the keys are the second worker's.
        share = grew["handed_over"] / grew["datagrams_in"]
        check("the second worker's datagrams were handed over", 0.2 < share < 0.8,
              f"({grew['handed_over']} of {grew['datagrams_in']})")
        check.equal("each worker got what is its own", grew["refused_owner"], 0)
        idle(c, check, "two workers, after load")
        for name in ("kn", "dpm"):
            check.equal(f"{name} ends in order", c.kill(name, cluster.signal.SIGTERM), 0)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
