#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients behind a bad network, KN and DPM killed and restarted under their load: what the clients saw
has to be linearizable.

    bad_network_test.py BUILD_DIR [--seed S] [--seconds N] [--ip6] [--exactly-once]

In each direction the network drops 10 % of the datagrams, duplicates 10 %, reorders 10 % and corrupts
1 %. The clients live in a namespace of their own, where relay.py has the server's address.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

import cluster

PERMILLE = ["100", "100", "100", "10"]  # dropped, duplicated, reordered, corrupted
WORKERS = 2
KEYS = "300"  # so many that few mutations of a key are repeated at once: they are what judging costs
UNDECIDED = 3  # exit status of dinomo-sim check


class BadNetwork:
    """The namespace of the clients, and the relay that has the server's address in it."""

    def __init__(self, c, seed):
        self.c, self.seed, self.namespace = c, seed, f"dnu{os.getpid()}"

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        try:
            address = self.c.SERVER_IP6 if self.c.ip6 else self.c.SERVER_IP
            bits = ["/128", "nodad"] if self.c.ip6 else ["/32"]
            for command in (["link", "set", "lo", "up"],
                            ["addr", "add", address + bits[0], "dev", "lo", *bits[1:]]):
                subprocess.run(["ip", "-n", self.namespace, *command], check=True)
            self.relay = subprocess.Popen(
                self.inside([sys.executable, os.path.join(os.path.dirname(__file__), "relay.py"), address,
                             "11300", str(WORKERS), self.c.client_ns, str(self.seed), *PERMILLE]),
                stdout=subprocess.PIPE, text=True)
            if self.relay.stdout.readline() != "ready\n":
                raise RuntimeError("the relay did not start")
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        relay = getattr(self, "relay", None)
        if relay is not None and relay.poll() is None:
            relay.kill()
            relay.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)

    def inside(self, command):
        return ["ip", "netns", "exec", self.namespace, *command]

    def counts(self):
        """Ends the relay."""
        self.relay.send_signal(signal.SIGTERM)
        out, _ = self.relay.communicate(timeout=20)
        return json.loads(out)


def start(c, victim):
    if victim == "dpm":
        c.start_dpm()
    else:
        # Every frame has a true checksum here, and has to be checked.
        c.start_kn("--cache-bytes", "2m", "--rx-checksum", "verify",
                   # A KN that was killed cannot be asked: the next one waits its lease out.
                   "--lease-ms", "400", "--heartbeat-ms", "50")


def kill_under_load(c, chance, client):
    kills = 0
    time.sleep(1)
    while client.poll() is None:
        victims = chance.choice((["kn"], ["dpm"], ["dpm", "kn"], ["kn", "dpm"]))
        for victim in victims:
            c.kill(victim, signal.SIGKILL)
        for victim in victims:
            start(c, victim)
        c.wait_serving()
        kills += 1
        print(f"kill {kills}: {'+'.join(victims)}", flush=True)
        time.sleep(chance.uniform(0.5, 2))
    return kills


def run(arguments):
    replay = " ".join(["bad_network_test.py BUILD", *sys.argv[2:]])
    check = cluster.Checks(replay)
    chance = random.Random(arguments.seed)
    lcores = ",".join(["0@0", *(f"{w + 1}@1" for w in range(WORKERS))])
    with cluster.Cluster(arguments.build, lcores=lcores, ip6=arguments.ip6) as c:
        start(c, "dpm")
        start(c, "kn")
        c.wait_serving()
        with BadNetwork(c, arguments.seed) as network:
            history = c.path("history")
            command = [c.tool("history_client"), "--server", c.server, "--file", history, "--seed",
                       str(arguments.seed), "--keys", KEYS, "--seconds", str(arguments.seconds)]
            command += ["--exactly-once"] if arguments.exactly_once else []
            client = subprocess.Popen(network.inside(command), stdout=subprocess.PIPE, text=True)
            try:
                kills = kill_under_load(c, chance, client)
                out, _ = client.communicate(timeout=60)
            finally:
                if client.poll() is None:
                    client.kill()
            check.equal("the clients end in order", client.returncode, 0)
            seen = json.loads(out)
            faults = network.counts()
        print(f"clients: {seen}\nnetwork: {faults}\nKN: {c.stats('kn')}")
        asked = seen["operations"]
        check("enough is asked to prove something", asked > 50 * arguments.seconds, f"({asked})")
        check("nearly all is answered", seen["answered"] > 0.95 * asked, f"({seen['answered']})")
        check("the network is bad", all(faults.values()), f"({faults})")
        check("KN and DPM are killed under load", kills >= 3, f"({kills})")
        check("corrupted replies do not reach the clients", seen["malformed"] == 0)
        judged = subprocess.run([c.program("dinomo-sim"), "check", history], capture_output=True, text=True,
                                timeout=120)
        # A mutation that may count again has many explanations; with too many of them nothing is shown.
        undecided = judged.returncode == UNDECIDED and not arguments.exactly_once
        if undecided:
            print(f"undecided, so nothing is shown: {judged.stdout}")
        if not check("the history is linearizable", judged.returncode == 0 or undecided):
            keep = f"/tmp/bad_network_{os.getpid()}.history"
            os.replace(history, keep)
            print(f"{judged.stdout}{judged.stderr}the history is kept: {keep}")
        c.end_in_order(check)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--ip6", action="store_true")
    parser.add_argument("--exactly-once", action="store_true")
    arguments = parser.parse_args()
    cluster.need_root()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
