#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kills dinomo-dpm, dinomo-kn and both at random moments under write load, restarts them and reads
back every acknowledged write; before some restarts the unmerged end of every log is overwritten
with garbage, as a torn write would leave it. Whenever nobody has the pool, dinomo-dpm --check looks at it.

    crash_test.py BUILD_DIR [--kills N] [--seed S] [--fabric shm|mlx5-soft|verbs-soft]
"""
import argparse
import json
import random
import signal
import subprocess
import sys
import time

import cluster
import torn_tail


def ask(writer, line):
    writer.stdin.write(line + "\n")
    writer.stdin.flush()
    answer = writer.stdout.readline()
    if not answer:
        raise RuntimeError(f"ack_writer ended at '{line}'")
    return json.loads(answer)


def check_pool(c):
    """Nobody uses the pool: what a crash left of it has to be clean."""
    found = subprocess.run([c.program("dinomo-dpm"), "--pool", c.path("pool"), "--check", "--json"],
                           stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(found.stdout)
    if found.returncode != 0 or report["totals"]["items"] == 0:
        raise RuntimeError(f"dinomo-dpm --check, status {found.returncode}: {found.stdout}")
    return report["totals"]["entries_unmerged"]


def run(build, kills, seed, fabric):
    chance = random.Random(seed)
    with cluster.Cluster(build, fabric=fabric) as c:
        c.start_dpm()
        c.start_kn("--cache-bytes", "2m")
        c.wait_serving()
        writer = subprocess.Popen(
            c.in_client([c.tool("ack_writer"), "--server", c.SERVER_IP, "--seed", str(seed),
                         "--deadline-ms", "20000"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        torn = checked = unmerged = 0
        try:
            for round_number in range(kills):
                ask(writer, "go")
                time.sleep(chance.uniform(0.05, 0.8))
                victims = chance.choice((["kn"], ["dpm"], ["dpm", "kn"], ["kn", "dpm"]))
                for victim in victims:
                    c.kill(victim, signal.SIGKILL)
                if set(victims) == {"dpm", "kn"} and chance.random() < 0.7:
                    torn += torn_tail.overwrite(c.path("pool"), chance)
                if set(victims) == {"dpm", "kn"}:
                    unmerged += check_pool(c)
                    checked += 1
                for victim in victims:
                    (c.start_dpm if victim == "dpm" else lambda: c.start_kn("--cache-bytes", "2m"))()
                c.wait_serving()
                report = ask(writer, "check")
                print(f"kill {round_number + 1}: {'+'.join(victims)}: {report}", flush=True)
                for what in ("violations", "unknown", "refused"):
                    if report[what]:
                        print(f"KN: {c.stats('kn')}\nDPM: {c.stats('dpm')}")
                        raise RuntimeError(f"{what} in round {round_number + 1}; replay: crash_test.py "
                                           f"BUILD --kills {kills} --seed {seed} --fabric {fabric}")
            report = ask(writer, "report")
            if report["acked"] < 100 * kills:
                raise RuntimeError(f"too few writes to prove anything: {report}")
        finally:
            writer.kill()
            writer.wait()
        print(f"{kills} kills, {torn} torn tails, {report['acked']} acknowledged writes, "
              f"{report['checked']} reads checked, no violation; {checked} crashed pools clean by --check, "
              f"{unmerged} entries unmerged in them")
        check = cluster.Checks("crash_test.py")
        c.end_in_order(check)  # also asks the device, where there is one, what it found
        check.equal("entries left unmerged by an orderly end", check_pool(c), 0)
        return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fabric", default="shm", choices=cluster.Cluster.FABRICS)
    arguments = parser.parse_args()
    cluster.need_root()
    return run(arguments.build, arguments.kills, arguments.seed, arguments.fabric)


if __name__ == "__main__":
    sys.exit(main())
