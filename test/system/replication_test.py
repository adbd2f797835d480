#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A hot key that several KNs serve, as real processes: replicated and no longer by an operator's commands
under load, while a KN joins, one is drained and one is killed.

usage: replication_test.py BUILD_DIR [--seed N]

Clients ask for few keys; their histories have to be linearizable with every mutation counted once."""
import argparse
import json
import os
import signal
import subprocess
import sys

from cluster import Checks, need_root
from kn_cluster import KnCluster

KNS = 3
KEY = "key0"
KEYS = 3
LOOK_S = 2  # there is a report every second


class Operator:
    def __init__(self, c, check):
        self.c, self.check = c, check
        self.words = [c.program("dinomo-cli"), "cluster", "--control",
                      c.path("dpdk/dinomo-dpm/dpdk_telemetry.v2"), "--json"]

    def ask(self, *words):
        """Twice: a command that is given again does no harm."""
        for _ in range(2):
            said = subprocess.run([*self.words, *words], capture_output=True, text=True, timeout=60, check=False)
            if said.returncode != 0:
                raise RuntimeError(f"cluster {' '.join(words)}: {said.returncode}, {said.stderr}")
        return json.loads(said.stdout)

    def listed(self):
        return self.ask("replicated")["keys"]


def shared_reads(c, slots):
    return {slot: c.stats(f"kn{slot}")["kn"]["shared_reads"] for slot in slots}


def reported_s(c, slots):
    """When each wrote the statistics that are there now."""
    return {slot: os.stat(c.path(f"kn{slot}.json")).st_mtime for slot in slots}


def readers(c, slots):
    """KNs that serve reads of a key that another one writes, in the 2 s from one of their reports on."""
    before, seen = shared_reads(c, slots), reported_s(c, slots)
    c.wait_until(lambda: all(now >= seen[slot] + LOOK_S for slot, now in reported_s(c, slots).items()), "reports of the KNs")
    after = shared_reads(c, slots)
    return {slot for slot in slots if after[slot] > before[slot]}


def spread(c, check, what, slots, count):
    c.wait_until(lambda: len(readers(c, slots)) == count, f"reads at {count} KNs beside the writer", 30)
    check(f"{what}: {count} KNs beside the writer serve reads", True)


def happen(c, check, operator):
    check.equal("nothing is replicated at first", operator.listed(), [])
    said = operator.ask("replicate", KEY)
    check.equal("the key is to be read at every KN", len(said["key"]["kns"]), KNS)
    spread(c, check, "replicated", c.slots, KNS - 1)
    check.equal("two are wanted", operator.ask("replicate", KEY, "--kns", "2")["key"]["kns_wanted"], 2)
    spread(c, check, "at two KNs", c.slots, 1)
    operator.ask("replicate", KEY)

    writer = operator.listed()[0]["kns"][0]
    operator.ask("drain", str(writer))
    c.wait_divided(c.but(writer))
    spread(c, check, "its writer is drained", c.but(writer), KNS - 2)
    operator.ask("undrain", str(writer))
    c.wait_divided(c.slots)

    writer = operator.listed()[0]["kns"][0]
    c.kill(f"kn{writer}", signal.SIGKILL)
    c.wait_divided(c.but(writer))
    spread(c, check, "its writer is dead", c.but(writer), KNS - 2)
    c.start_slot(writer)
    c.wait_divided(c.slots)
    spread(c, check, "it is back", c.slots, KNS - 1)

    said = operator.ask("dereplicate", KEY)
    check.equal("no KN is listed any more", said["key"]["kns"], [])
    spread(c, check, "replicated no longer", c.slots, 0)
    check.equal("and nothing is replicated", operator.listed(), [])


def run(build, seed):
    check = Checks(f"python3 test/system/replication_test.py {build} --seed {seed}")
    with KnCluster(build, KNS, pool_bytes="256m") as c:
        c.start_dpm()
        for slot in c.slots:
            c.start_slot(slot)
        c.wait_divided(c.slots, 60)
        history = c.path("history.jsonl")
        load = subprocess.Popen(c.in_client([c.tool("history_client"), "--server", "10.77.0.2", "--file", history,
                                             "--seed", str(seed), "--seconds", "600", "--keys", str(KEYS),
                                             "--deadline-ms", "30000", "--exactly-once", "--pace-us", "2000"]),
                                stdout=subprocess.PIPE, text=True)
        try:
            happen(c, check, Operator(c, check))
            load.terminate()
            said = load.communicate(timeout=90)[0]
        finally:
            if load.poll() is None:
                load.kill()
        print(said, end="")
        check.equal("the clients ended well", load.returncode, 0)
        check.equal("outcomes unknown", json.loads(said)["outcome_unknown"], 0)
        judged = subprocess.run([c.program("dinomo-sim"), "check", history], capture_output=True, text=True,
                                timeout=600, check=False)
        check("every history is linearizable, and every mutation counts once", judged.returncode == 0,
              judged.stdout + judged.stderr)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    need_root()
    return run(os.path.abspath(arguments.build), arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
