#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""KNs that come, leave, are killed and stopped under load, as real processes.

usage: elastic_test.py BUILD_DIR [--kns N] [--events N] [--seed N] [--pace-us N]

One DPM and several KNs, each in a network namespace of its own behind one bridge, and clients that go on all
the time. Every kind of event comes once, then they are drawn by the seed, as the KN that each one hits is.
The histories have to be linearizable with every mutation counted once, and after each event every KN has to
have its part of the ring again."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

from cluster import Checks, need_root
from kn_cluster import KnCluster

MIN_KNS = 3  # two may die at once, and somebody has to be left


def restart(c, slot, how):
    c.kill(f"kn{slot}", how)
    c.wait_divided(c.but(slot))
    c.start_slot(slot)


def leaves(c, slot):
    restart(c, slot, signal.SIGTERM)


def dies(c, slot):
    restart(c, slot, signal.SIGKILL)


def dies_with_another(c, slot):
    pair = (slot, (slot + 1) % len(c.slots))
    for one in pair:
        c.kill(f"kn{one}", signal.SIGKILL)
    c.wait_divided(c.but(*pair))
    for one in pair:
        c.start_slot(one)


def sleeps(c, slot):
    """For longer than its lease. A mapping cannot be taken away from a process that does not run, so the DPM
    kills it, and others have its partitions; it must not need to wake for that."""
    c.processes[f"kn{slot}"].send_signal(signal.SIGSTOP)
    ended = c.ended(slot)
    if ended != -signal.SIGKILL:
        raise RuntimeError(f"KN {slot} was stopped, and ended by itself ({ended})")
    c.wait_divided(c.but(slot))
    c.start_slot(slot)


def steered(c, slot):
    """By an operator: drained and let in again, removed and started again, given partitions; every command twice."""
    steer = [c.program("dinomo-cli"), "cluster", "--control", c.path("dpdk/dinomo-dpm/dpdk_telemetry.v2"), "--json"]

    def ask(*words):
        for _ in range(2):
            said = subprocess.run([*steer, *words], capture_output=True, text=True, timeout=60, check=False)
            if said.returncode != 0:
                raise RuntimeError(f"cluster {' '.join(words)}: {said.returncode}, {said.stderr}")
        return json.loads(said.stdout)

    ask("drain", str(slot))
    c.wait_divided(c.but(slot))
    found = {kn["kn_slot"]: kn for kn in ask("status")["kns"]}[slot]
    if (found["state"], found["wanted"], found["partitions"]) != ("idle", "drained", 0):
        raise RuntimeError(f"a drained KN is said to be {found}")
    ask("undrain", str(slot))
    c.wait_divided(c.slots)
    ask("remove", str(slot))
    if c.ended(slot) != 0:
        raise RuntimeError(f"KN {slot} was removed and did not end in order")
    c.start_slot(slot)
    if c.ended(slot) != 0:
        raise RuntimeError(f"KN {slot} is not wanted and did not end")
    impatient = subprocess.run([*steer, "--wait-s", "0", "add", str(slot)], capture_output=True, text=True,
                               timeout=60, check=False)
    if impatient.returncode != 4 or f"dinomo-kn with --kn-slot {slot}" not in impatient.stderr:
        raise RuntimeError(f"cluster add without a KN: {impatient.returncode}, {impatient.stderr}")
    c.start_slot(slot)
    ask("add", str(slot))
    ring = ask("ring")
    if len(ring["owner"]) != 4096 or slot not in ring["owner"] or ask("leader")["leader"]["kn_slot"] not in c.slots:
        raise RuntimeError(f"ring and leader are not as they should be: version {ring['ring_version']}")
    ask("pin", "100-199", str(slot))
    ring, pins = ask("ring"), ask("pinned")["pins"]
    if set(ring["owner"][100:200]) != {slot} or pins != [{"first": 100, "count": 100, "kn_slot": slot, "elsewhere": 0}]:
        raise RuntimeError(f"pinned to KN {slot}, they are at {set(ring['owner'][100:200])}; {pins}")
    ask("unpin", "0-4095")
    if ask("pinned")["pins"] or ask("ring")["pinned"]:
        raise RuntimeError("what was unpinned is pinned")


def blinks(c, slot):
    """Dies and is back before anybody notices."""
    c.kill(f"kn{slot}", signal.SIGKILL)
    c.start_slot(slot)


EVENTS = (leaves, dies, sleeps, blinks, steered, dies_with_another)


def drained_last(c, check):
    """The one that is left is not drained; by force the wish is written down, and it serves until another comes."""
    *others, last = c.slots
    for slot in others:
        check.equal(f"KN {slot} ends in order", c.kill(f"kn{slot}", signal.SIGTERM), 0)
    c.wait_divided([last])
    steer = [c.program("dinomo-cli"), "cluster", "--control", c.path("dpdk/dinomo-dpm/dpdk_telemetry.v2")]
    refused = subprocess.run([*steer, "drain", str(last)], capture_output=True, text=True, timeout=60, check=False)
    check.equal("the last KN is not drained", refused.returncode, 3)
    forced = subprocess.run([*steer, "drain", "--force", str(last)], capture_output=True, text=True, timeout=60,
                            check=False)
    check("by force the command says that it goes on serving, and does not wait",
          forced.returncode == 4 and f"KN slot {last} goes on serving 4096 partitions" in forced.stderr,
          f"({forced.returncode}, {forced.stderr.strip()})")
    check.equal("it serves all", c.partitions(last), 4096)
    c.start_slot(others[0])
    c.wait_divided(others[:1])
    check.equal("it is drained as soon as another one comes", c.partitions(last), 0)
    for slot in (last, others[0]):
        check.equal(f"KN {slot} ends in order", c.kill(f"kn{slot}", signal.SIGTERM), 0)


def happen(c, check, events, order, load):
    """One event after the other, the clients asking all the while."""
    began = time.monotonic()
    c.start_slot(c.slots[-1])
    c.wait_divided(c.slots)
    check("one more KN takes its part of the ring", True)
    for number in range(events):
        event = EVENTS[number] if number < len(EVENTS) else order.choice(EVENTS)
        slot = order.choice(c.slots)
        event(c, slot)
        c.wait_divided(c.slots)
        check(f"{number + 1}: KN {slot} {event.__name__}, all have their part again", load.poll() is None,
              f"({time.monotonic() - began:.1f} s)")


def judge(c, check, load, said, history):
    print(said, end="")
    check.equal("the clients ended well", load.returncode, 0)
    heard = json.loads(said)
    check("everything was answered in time", heard["answered"] == heard["operations"] > 0)
    check.equal("outcomes unknown", heard["outcome_unknown"], 0)
    judged = subprocess.run([c.program("dinomo-sim"), "check", history], capture_output=True, text=True,
                            timeout=600, check=False)
    check("every history is linearizable, and every mutation counts once", judged.returncode == 0,
          judged.stdout + judged.stderr)


def run(build, kns, events, seed, pace_us):
    check = Checks(f"python3 test/system/elastic_test.py {build} --kns {kns} --events {events} --seed {seed} "
                   f"--pace-us {pace_us}")
    with KnCluster(build, kns, pool_bytes="256m") as c:
        c.start_dpm()
        for slot in c.slots[:-1]:
            c.start_slot(slot)
        c.wait_divided(c.slots[:-1], 60)
        history = c.path("history.jsonl")
        limit_s = 60 * (1 + events)  # they are told when it is enough
        load = subprocess.Popen(c.in_client([c.tool("history_client"), "--server", "10.77.0.2", "--file", history,
                                             "--seed", str(seed), "--seconds", str(limit_s), "--keys", "60",
                                             "--deadline-ms", "30000", "--exactly-once", "--pace-us", str(pace_us)]),
                                stdout=subprocess.PIPE, text=True)
        try:
            happen(c, check, events, random.Random(seed), load)
            load.terminate()
            said = load.communicate(timeout=90)[0]
        finally:
            if load.poll() is None:
                load.kill()
        judge(c, check, load, said, history)
        drained_last(c, check)
        check.equal("the DPM ends in order", c.kill("dpm", signal.SIGTERM), 0)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--kns", type=int, default=MIN_KNS)
    parser.add_argument("--events", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace-us", type=int, default=0, help="the clients rest between requests: for long histories")
    arguments = parser.parse_args()
    if not MIN_KNS <= arguments.kns <= 16:
        parser.error(f"--kns: from {MIN_KNS} to 16")
    need_root()
    return run(os.path.abspath(arguments.build), arguments.kns, arguments.events, arguments.seed,
               arguments.pace_us)


if __name__ == "__main__":
    sys.exit(main())
