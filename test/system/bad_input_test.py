#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What people get wrong and what networks send: each yields a message that says what to do, or a
counted drop, and whoever was serving goes on.

    bad_input_test.py BUILD_DIR [--seed N]
"""
import argparse
import os
import shutil
import signal
import struct
import subprocess
import sys

import cluster
import hostile

SUPERBLOCK_MAGIC = b"DINMSBLK"


class Refusals:
    """Runs commands that have to fail with a message."""

    def __init__(self, c, check):
        self.c, self.check = c, check

    def __call__(self, what, command, *words, status=None):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as late:
            self.check(what, False, f"still running after 30 s: {late.stdout} {late.stderr}")
            return
        said = done.stdout + done.stderr
        missing = [w for w in words if w not in said]
        exited = done.returncode == status if status is not None else done.returncode in (1, 2)
        last = said.strip().splitlines()[-1] if said.strip() else "(nothing)"
        self.check(what, exited and not missing,
                   f"exit {done.returncode}: {last}" + (f" -- lacks {missing}; all:\n{said}"
                                                        if missing else ""))


def options(c, refused):
    dpm, kn = c.dpm_command, c.kn_command
    refused("dpm: unknown option", dpm("--pool-byte", "64m"), "did you mean --pool-bytes?", status=2)
    refused("kn: unknown option", kn("--cache-byte", "64m"), "did you mean --cache-bytes?", status=2)
    refused("dpm: value out of range", dpm("--kn-slots", "100000"), "kn-slots", "1000", status=2)
    refused("kn: value out of range", kn("--udp-port", "70000"), "udp-port", "65000", status=2)
    refused("kn: no number", kn("--lease-ms", "soon"), "lease-ms", "soon", status=2)
    refused("kn: unknown policy", kn("--cache-policy", "lru"), "lru", "shortcut-only", status=2)
    refused("kn: unknown fabric", kn("--fabric", "pigeon"), "pigeon", "shm", status=2)
    refused("kn: unknown fallback", kn("--fabric", "mlx5", "--fabric-fallback", "pigeon"), "fabric_fallback",
            "pigeon", "verbs", status=2)
    refused("kn: way to connect", kn("--fabric-connect", "pigeon"), "fabric-connect", "rdmacm", status=2)
    refused("kn: fallback of shm", kn("--fabric-fallback", "verbs"), "fabric_fallback", "mlx5", status=2)
    refused("kn: options that contradict", kn("--lease-ms", "100", "--heartbeat-ms", "90"),
            "three times", status=2)
    refused("kn: no address", [a for a in kn() if a not in ("--ip", "10.77.0.2/24")], "--ip", status=2)
    refused("kn: address out of range", kn("--ip", "300.1.1.1/24"), "300.1.1.1", "10.0.0.2/24")
    refused("dpm: config file missing", dpm("--config", c.path("none.conf")), "none.conf",
            "No such file", status=2)
    config = c.path("bad.conf")
    for what, text, words in (
            ("unknown key", "pool_byts = 67108864L;\n", ("pool_byts", "line 1", "'pool_bytes'")),
            ("syntax", "# first\npool_bytes = = 3;\n", ("line 2",)),
            ("wrong type", "pool_bytes = ( 1, 2 );\n", ("pool_bytes", "line 1", "wrong type")),
            ("value out of range", "kn_slots = 100000;\n", ("kn_slots", "line 1", "1000"))):
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        refused(f"dpm: config file, {what}", dpm("--config", config), *words, status=2)
    with open(config, "wb") as file:
        file.write(os.urandom(500) + b"\0")
    refused("dpm: config file, binary", dpm("--config", config), "bad.conf", status=2)


def machine(c, refused):
    kn = c.kn_command()
    swap = lambda old, new: [new if a == old else a for a in kn]
    refused("kn: too little EAL memory", swap(str(c.memory_mb), "8"), "memory", "-m", status=1)
    refused("kn: one lcore only", swap(c.lcores, "0@0"), "--lcores", status=1)
    refused("kn: no such interface",
            swap(f"net_af_packet0,iface={c.kn_if},framecnt=4096", "net_af_packet0,iface=nosuch0"),
            "No such device", "ip link", status=1)
    refused("kn: no such DPDK port", c.kn_command("--port", "net_none7"), "net_none7", "net_af_packet0",
            status=1)
    refused("kn: unknown EAL option", swap("--no-pci", "--no-pcie"), "no-pcie", status=1)


def change(path, edit):
    with open(path, "r+b") as file:
        data = file.read()
        at = data.index(SUPERBLOCK_MAGIC[::-1] if SUPERBLOCK_MAGIC not in data else SUPERBLOCK_MAGIC)
        edit(file, at)


def patch(at, data):
    def edit(file, superblock):
        file.seek(superblock + at)
        file.write(data)
    return edit


def flip(at, bit):
    def edit(file, superblock):
        file.seek(superblock + at)
        byte = file.read(1)[0]
        file.seek(superblock + at)
        file.write(bytes([byte ^ 1 << bit]))
    return edit


def pools(c, check, refused):
    good, bad = c.path("small"), c.path("bad")

    def dpm(path, *extra):
        return [c.program("dinomo-dpm"), "--pool", path, "--listen", c.path("other.sock"), *extra]

    size = ("--pool-bytes", "64m", "--segment-bytes", "1m")
    refused("dpm: no pool", dpm(bad, "--no-create"), "no pool", "--create", status=1)
    refused("dpm: no directory", dpm(c.path("no/pool"), "--create"), "does not exist", status=1)
    refused("dpm: larger than the disk", dpm(bad, "--create", "--pool-bytes", "4t"), "does not fit",
            "free", status=1)
    space = c.path("tiny")
    os.mkdir(space)
    refused("dpm: a full file system", ["unshare", "--mount", "sh", "-c",
            f"mount -t tmpfs -o size=32m none {space} && exec \"$@\"", "sh",
            *dpm(f"{space}/pool", "--create", *size)], "does not fit", "32 MiB free", status=1)
    c._start("other", dpm(good, "--create", *size))
    c.wait_until(lambda: said(c, "other", "ready"), "second DPM")
    refused("dpm: pool in use", dpm(good), "open in another process", status=1)
    refused("dpm: socket in use", dpm(bad, "--create", *size), "other.sock", status=1)
    check("dpm: the first one goes on", c.alive("other"))
    check.equal("dpm ends in order", c.kill("other", signal.SIGTERM), 0)
    for what, edit, words in (
            ("of another version", patch(8, struct.pack("<I", 77)), ("version 77", "only version")),
            ("whose superblock has a flipped bit", flip(40, 3), ("checksum", "damaged")),
            ("whose magic is gone", patch(0, bytes(8)), ("no Dinomo superblock",)),
            ("cut to half", lambda f, _: f.truncate(32 << 20), ("truncated",)),
            ("cut to nothing", lambda f, _: f.truncate(0), ("too few",)),
            ("cut to a page", lambda f, _: f.truncate(4096), ("too few",))):
        subprocess.run(["cp", "--sparse=always", good, bad], check=True)
        change(bad, edit)
        refused(f"dpm: pool {what}", dpm(bad), "bad", *words, status=1)
    with open(bad, "wb") as file:
        file.write(os.urandom(16 << 20))
    refused("dpm: random bytes as a pool", dpm(bad), "cannot be opened", status=1)
    refused("dpm: a directory as a pool", dpm(c.directory), "neither a file nor", status=1)
    if shutil.which("pmempool"):
        os.unlink(bad)
        subprocess.run(["pmempool", "create", "-l", "other", "-s", "16M", "obj", bad], check=True)
        refused("dpm: another program's pool", dpm(bad), 'layout "other"', status=1)
    c._start("last", dpm(good))
    c.wait_until(lambda: said(c, "last", "after a clean stop", "ready"), "the untouched pool served")
    check.equal("dpm: the untouched pool is served again", c.kill("last", signal.SIGTERM), 0)


def said(c, name, *words):
    with open(c.path(f"{name}.log"), encoding="utf-8", errors="replace") as file:
        text = file.read()
    return all(w in text for w in words)


def deployment(c, check, refused, seed):
    c.start_kn()
    c.wait_until(lambda: said(c, "kn", "no dinomo-dpm answers"), "the KN's complaint")
    check("kn without dpm: waits and says so", c.alive("kn"))
    answer = c.cli("--timeout-ms", "500", "get", "key")
    check("kn without dpm: clients get an answer that tells", answer.returncode == 4, answer.stderr.strip())
    c.start_dpm()
    c.wait_serving()
    check.equal("then serves", c.cli("put", "key", "value").returncode, 0)

    c._ip("link", "add", "second0", "netns", c.kn_ns, "type", "veth", "peer", "name", "second1",
          "netns", c.kn_ns)
    c._ip("-n", c.kn_ns, "link", "set", "second0", "up")
    c._ip("-n", c.kn_ns, "link", "set", "second1", "up")

    def second(*extra):
        command = c.kn_command(*extra)
        command = [a.replace(f"iface={c.kn_if}", "iface=second0").replace("kn.json", "kn2.json")
                   for a in command]
        c._start("kn2", command)

    second("--kn-slot", "0")
    c.wait_until(lambda: said(c, "kn2", "slot is in use", "--kn-slot"), "the second KN's complaint")
    check("a second KN on the same slot says so and waits", c.alive("kn2"))
    c.kill("kn2", signal.SIGTERM)
    check("the first one still serves", c.cli("get", "key").stdout == "value")

    refused("cli: nobody there", c.in_client([c.program("dinomo-cli"), "--server", "10.77.0.99",
            "--timeout-ms", "300", "get", "key"]), "10.77.0.99", "did not answer", status=4)
    refused("cli: no such host", [c.program("dinomo-cli"), "--server", "no.such.host.invalid", "get",
            "key"], "unknown host", status=4)
    refused("cli: wrong port", c.in_client([c.program("dinomo-cli"), "--server", f"{c.server}:999",
            "--timeout-ms", "300", "get", "key"]), "999", status=4)
    cli = c.in_client([c.program("dinomo-cli"), "--server", c.server])
    refused("cli: key too long", [*cli, "get", "k" * 251], "251 bytes", "250", status=2)
    with open(c.path("large"), "wb") as file:
        file.write(bytes(61441))
    refused("cli: value too long", [*cli, "put", "key", "--file", c.path("large")], "61441", "61440",
            status=2)
    refused("bench: nobody there", c.in_client([c.program("dinomo-bench"), "--server", "10.77.0.99",
            "--keys", "10", "--timeout-ms", "300"]), "10.77.0.99", status=4)
    datagrams(c, check, seed)

    c._ip("-n", c.kn_ns, "link", "set", c.kn_if, "down")
    answer = c.cli("--timeout-ms", "300", "get", "key")
    check("interface down: the client is told", answer.returncode == 4, answer.stderr.strip())
    c._ip("-n", c.kn_ns, "link", "set", c.kn_if, "up")
    check("and up again", c.cli("--timeout-ms", "20000", "get", "key").stdout == "value")
    check("the KN lives", c.alive("kn"))
    check.equal("it ends in order", c.kill("kn", signal.SIGTERM), 0)
    c._ip("-n", c.kn_ns, "link", "set", c.kn_if, "down")
    c.start_kn()
    c.wait_until(lambda: not c.alive("kn") or said(c, "kn", "link down") or
                 (c.stats("kn") or {}).get("phase") == "serving", "what a start on a down link does")
    check("start with the interface down says so", said(c, "kn", "down"))
    c.kill("kn", signal.SIGTERM)


def datagrams(c, check, seed):
    before = c.counters()
    done = subprocess.run(c.in_client([sys.executable, hostile.__file__, c.SERVER_IP, c.client_if,
                                       str(seed)]), capture_output=True, text=True, timeout=120)
    print("     " + (done.stdout + done.stderr).strip().replace("\n", "\n     "))
    if not check("hostile datagrams: answers as they should be", done.returncode == 0):
        return
    sent = dict(line.split("=") for line in done.stdout.split() if "=" in line)
    after = c.counters()
    counted = after["malformed"] - before["malformed"]
    # Some of them may be lost before the KN sees them; what it sees it counts.
    check("hostile datagrams: counted", counted >= int(sent["malformed"]) * 0.9,
          f"({counted} of {sent['malformed']} surely malformed)")
    check("hostile frames: counted as dropped", after["dropped"] - before["dropped"] > 0,
          f"({after['dropped'] - before['dropped']})")
    check("the KN is alive", c.alive("kn"))
    check("it still answers", c.cli("get", "key").stdout == "value")
    check.equal("and still takes writes", c.cli("put", "key2", "value2").returncode, 0)
    check("and returns them", c.cli("get", "key2").stdout == "value2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    cluster.need_root()
    check = cluster.Checks(" ".join(sys.argv))
    with cluster.Cluster(arguments.build, pool_bytes="256m") as c:
        refused = Refusals(c, check)
        options(c, refused)
        machine(c, refused)
        pools(c, check, refused)
        deployment(c, check, refused, arguments.seed)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
