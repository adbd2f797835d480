#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""In the guest: the pool on persistent memory.

    dax.py BUILD_DIR write JOURNAL     a new pool on a file system with DAX; writes under load, then panics
    dax.py BUILD_DIR check JOURNAL     after the next boot: nothing that was acknowledged is missing
    dax.py BUILD_DIR refuse            RDMA onto a file with DAX is refused with a reason
    dax.py BUILD_DIR devdax            the pool on a device without files, YCSB over shared memory
"""
import json
import re
import subprocess
import sys
import time

from devdax import make_devdax_pool
from paths import SMALL_YCSB, cluster, verify_test

MOUNT = "/run/pmem"
POOL = f"{MOUNT}/pool"
ACKNOWLEDGED_MIN = 500  # fewer would prove little
WRITE_SECONDS = 3  # less than what a file system's journal waits: the pool's own name has to be durable, too


class DaxCluster(cluster.Cluster):
    pool = POOL

    def dpm_command(self, *extra):
        command = super().dpm_command("--require-power-safe", *extra)
        command[command.index("--pool") + 1] = self.pool
        return command


def mount(new):
    if new:
        subprocess.run(["ndctl", "create-namespace", "-f", "-e", "namespace0.0", "--mode=fsdax", "--map=mem"],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "/dev/pmem0"], check=True)
    subprocess.run(["mkdir", "-p", MOUNT], check=True)
    subprocess.run(["mount", "-o", "dax=always", "/dev/pmem0", MOUNT], check=True)


def waits_for_the_journal(pid):
    """True if all that a process maps of the pool is mapped with MAP_SYNC ("sf" in its VmFlags)."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        mappings = re.findall(rf" {POOL}\n(?:\w+:.*\n)*?VmFlags: (.*)", file.read())
    return bool(mappings) and all("sf" in flags.split() for flags in mappings)


def ask(writer, line):
    writer.stdin.write(line + "\n")
    writer.stdin.flush()
    return json.loads(writer.stdout.readline())


def start(c, journal):
    c.start_dpm()
    c.start_kn("--cache-bytes", "4m")
    c.wait_serving()
    return subprocess.Popen(c.in_client([c.tool("ack_writer"), "--server", c.SERVER_IP, "--keys", "500",
                                         "--journal", journal]),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write(build, journal):
    mount(new=True)
    with DaxCluster(build, pool_bytes="256m", memory_mb=256) as c:
        writer = start(c, journal)
        ask(writer, "go")
        time.sleep(WRITE_SECONDS)
        print("persistence", (c.stats("dpm") or {}).get("persistence"), flush=True)
        with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
            trigger.write("c")
        time.sleep(60)
    return 1


def check(build, journal):
    mount(new=False)
    checks = cluster.Checks("test/guest/guest_test.py")
    with open(journal, encoding="ascii") as file:
        acknowledged = sum(line.startswith("a ") for line in file)
    checks("acknowledged before the panic", acknowledged >= ACKNOWLEDGED_MIN, f"({acknowledged})")
    with DaxCluster(build, pool_bytes="256m", memory_mb=256) as c:
        writer = start(c, journal)
        report = ask(writer, "check")
        print(report)
        checks("every key was read", report["checked"] == 500)
        checks.equal("wrong or missing after the panic", report["violations"], 0)
        checks.equal("persistence", c.stats("dpm")["persistence"], "dax")
        for name in ("kn", "dpm"):
            checks(f"{name}'s first write to a block waits for the file system",
                   waits_for_the_journal(c.processes[name].pid))
        writer.stdin.close()
        writer.wait()
        for name in ("kn", "dpm"):
            checks.equal(f"{name} ends in order", c.kill(name, cluster.signal.SIGTERM), 0)
    return checks.finish()


def refuse(build):
    mount(new=True)
    done = subprocess.run([f"{build}/app/dinomo-dpm/dinomo-dpm", "--pool", POOL, "--pool-bytes", "128m",
                           "--fabric", "verbs", "--fabric-device", "rxe0", "--listen", "10.9.0.1:7471"],
                          capture_output=True, text=True, timeout=60)
    print(done.stdout + done.stderr)
    checks = cluster.Checks("test/guest/guest_test.py")
    checks("refused", done.returncode not in (0, None) and "devdax" in done.stdout + done.stderr,
           f"(status {done.returncode})")
    return checks.finish()


def devdax(build):
    checks = cluster.Checks("test/guest/guest_test.py")
    with DaxCluster(build, memory_mb=256) as c:
        c.pool = make_devdax_pool()
        c.start_dpm()
        verify_test.verify(SMALL_YCSB, c, checks)
        checks.equal("persistence", c.stats("dpm")["persistence"], "dax")
        c.end_in_order(checks)
    return checks.finish()


if __name__ == "__main__":
    _, build_dir, what, *rest = sys.argv
    sys.exit({"write": write, "check": check, "refuse": refuse, "devdax": devdax}[what](build_dir, *rest))
