#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""KNs that come, leave, are killed and stopped under load, as real processes.

usage: elastic_test.py BUILD_DIR [--events N] [--seed N]

One DPM and three KNs, each in a network namespace of its own behind one bridge, and clients that go on all
the time. Their histories have to be linearizable with every mutation counted once, and every KN has to
have its part of the ring again at the end."""
import argparse
import os
import random
import signal
import subprocess
import sys
import time

from cluster import Checks, Cluster, need_root

KNS = 3
LEASE_MS = 1000
SETTLE_S = 20


class KnCluster(Cluster):
    """Several KNs; the client's namespace holds the bridge between them."""

    def kn_namespace(self, slot):
        return f"{self.kn_ns}s{slot}"

    def _make_network(self):
        self._ip("netns", "add", self.client_ns)
        inside = ("-n", self.client_ns)
        self._ip(*inside, "link", "set", "lo", "up")
        self._ip(*inside, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self._ip(*inside, "addr", "add", f"{self.CLIENT_IP}/24", "dev", "br0")
        self._ip(*inside, "link", "set", "br0", "up")
        for slot in range(KNS):
            namespace = self.kn_namespace(slot)
            self._ip("netns", "add", namespace)
            self._ip("link", "add", f"k{slot}", "netns", namespace, "type", "veth", "peer", "name", f"p{slot}",
                     "netns", self.client_ns)
            self._ip("-n", namespace, "link", "set", f"k{slot}", "up")
            self._ip(*inside, "link", "set", f"p{slot}", "master", "br0", "up")

    def close(self):
        for slot in range(KNS):
            self.resume(slot)
        super().close()
        for slot in range(KNS):
            subprocess.run(["ip", "netns", "del", self.kn_namespace(slot)], capture_output=True, check=False)

    def start_slot(self, slot):
        name = f"kn{slot}"
        self._unlink(f"{name}.json")
        self._start(name, ["ip", "netns", "exec", self.kn_namespace(slot), self.program("dinomo-kn"), "--no-shconf",
                           "--no-huge", "-m", "128", "--no-pci", "--no-telemetry", "--lcores", self.lcores,
                           "--vdev", f"net_af_packet0,iface=k{slot},framecnt=1024", "--", "--dpm", self.dpm_address,
                           "--ip", f"10.77.0.{2 + slot}/24", "--kn-slot", str(slot), "--name", name,
                           "--lease-ms", str(LEASE_MS), "--cache-bytes", "16m", "--stats-file",
                           self.path(f"{name}.json")])

    def partitions(self, slot):
        stats = self.stats(f"kn{slot}")
        return stats["partitions"] if stats and stats["phase"] == "serving" else 0

    def wait_divided(self, slots, seconds=SETTLE_S):
        """Until these KNs share all partitions, none of them without any."""
        def divided():
            have = [self.partitions(s) for s in slots]
            return min(have) > 0 and sum(have) == 4096
        self.wait_until(divided, f"ring that is divided between KNs {slots}", seconds)

    def resume(self, slot):
        process = self.processes.get(f"kn{slot}")
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)


def restart(c, slot, how):
    c.kill(f"kn{slot}", how)
    others = [s for s in range(KNS) if s != slot]
    c.wait_divided(others)
    c.start_slot(slot)


def leaves(c, slot):
    restart(c, slot, signal.SIGTERM)


def dies(c, slot):
    restart(c, slot, signal.SIGKILL)


def sleeps(c, slot):
    """For longer than its lease. Over shared memory nobody can lock it out while its process lives, so it
    keeps its partitions; when it wakes it may serve nothing before it has a new lease."""
    c.processes[f"kn{slot}"].send_signal(signal.SIGSTOP)
    time.sleep(2.5 * LEASE_MS / 1000)
    c.resume(slot)


def blinks(c, slot):
    """Dies and is back before anybody notices."""
    c.kill(f"kn{slot}", signal.SIGKILL)
    c.start_slot(slot)


EVENTS = (leaves, dies, sleeps, blinks)


def run(build, events, seed):
    check = Checks(f"python3 test/system/elastic_test.py {build} --events {events} --seed {seed}")
    order = random.Random(seed)
    with KnCluster(build, pool_bytes="256m") as c:
        c.start_dpm()
        for slot in range(KNS - 1):
            c.start_slot(slot)
        c.wait_divided(range(KNS - 1), 60)
        history = c.path("history.jsonl")
        seconds = 5 + 6 * events
        load = subprocess.Popen(c.in_client([c.tool("history_client"), "--server", "10.77.0.2", "--file", history,
                                             "--seed", str(seed), "--seconds", str(seconds), "--keys", "60",
                                             "--deadline-ms", "30000", "--exactly-once"]),
                                stdout=subprocess.PIPE, text=True)
        try:
            began = time.monotonic()
            c.start_slot(KNS - 1)
            c.wait_divided(range(KNS))
            check("a third KN takes its part of the ring", True)
            for number in range(events):
                event, slot = EVENTS[number % len(EVENTS)], order.randrange(KNS)
                event(c, slot)
                c.wait_divided(range(KNS))
                check(f"KN {slot} {event.__name__}, and has its part again", True,
                      f"({time.monotonic() - began:.1f} s)")
            said = load.communicate(timeout=seconds + 90)[0]
        finally:
            if load.poll() is None:
                load.kill()
        print(said, end="")
        check.equal("the clients ended well", load.returncode, 0)
        judged = subprocess.run([c.program("dinomo-sim"), "check", history], capture_output=True, text=True,
                                timeout=300, check=False)
        check("every history is linearizable, and every mutation counts once", judged.returncode == 0,
              judged.stdout + judged.stderr)
        for slot in range(KNS):
            check.equal(f"KN {slot} ends in order", c.kill(f"kn{slot}", signal.SIGTERM), 0)
        check.equal("the DPM ends in order", c.kill("dpm", signal.SIGTERM), 0)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--events", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    need_root()
    return run(os.path.abspath(arguments.build), arguments.events, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
