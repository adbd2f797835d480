#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every operation through dinomo-cli, network, engine, log and index, before and after restarts.

    operations_test.py BUILD
"""
import json
import os
import signal
import sys

from cluster import Checks, Cluster, need_root

VALUE_BYTES_MAX = 61_440


class Shell:
    def __init__(self, c, check):
        self.c, self.check = c, check

    def __call__(self, *command, status=0, out=None):
        done = self.c.cli("--timeout-ms", "20000", *command)
        self.check.equal(f"{' '.join(command)[:60]}: exit status", done.returncode, status)
        if out is not None:
            self.check.equal(f"{' '.join(command)[:60]}: output", done.stdout, out)
        return done

    def item(self, key):
        return json.loads(self.c.cli("--json", "get", key).stdout)


def conditions(run, check):
    run("delete", "k", status=1)
    run("replace", "k", "v", status=1)
    run("append", "k", "v", status=1)
    run("cas", "k", "1", "v", status=1)
    run("add", "k", "first", "--flags", "3")
    run("add", "k", "second", status=5)
    run("append", "k", ">")
    run("prepend", "k", "<")
    run("get", "k", out="<first>")
    item = run.item("k")
    check.equal("flags stay", item["flags"], 3)
    run("cas", "k", str(item["version"]), "mine")
    run("cas", "k", str(item["version"]), "theirs", status=5)
    run("replace", "k", "new")
    run("get", "k", out="new")
    run("delete", "k")
    run("get", "k", status=1)


def counters(run):
    run("incr", "n", status=1)
    run("incr", "n", "--initial", "10", out="10\n")
    run("incr", "n", "5", out="15\n")
    run("decr", "n", out="14\n")
    run("decr", "n", "20", out="0\n")
    run("put", "n", str(2**64 - 1))
    run("incr", "n", "2", out="1\n")
    run("put", "text", "1x")
    run("incr", "text", status=5)
    run("get", "text", out="1x")


def expiry(run, check, c):
    run("put", "k", "v", "--ttl-ms", "600000")
    check("an item with a time to live says when it ends", run.item("k")["expiry_unix_ms"] > 0)
    run("touch", "k", "0")
    check("touched with 0 it stays", "expiry_unix_ms" not in run.item("k"))
    run("gat", "k", "600000", out="v")
    check("gat sets it, too", run.item("k")["expiry_unix_ms"] > 0)
    run("touch", "k", "1")
    c.wait_until(lambda: c.cli("get", "k").returncode == 1, "end of an item")
    for command in (("touch", "k", "1000"), ("incr", "k"), ("append", "k", "x"), ("delete", "k")):
        run(*command, status=1)
    run("add", "k", "again")
    run("get", "k", out="again")


def large(run, check, c):
    path = c.path("large")
    half = os.urandom(VALUE_BYTES_MAX // 2)
    with open(path, "wb") as file:
        file.write(half)
    run("put", "large", "--file", path)
    run("append", "large", "--file", path)
    got = c.path("got")
    run("get", "large", "--output", got)
    with open(got, "rb") as file:
        check("a value of two halves", file.read() == half + half)
    done = run("append", "large", "x", status=3)
    check("one byte more is too large", "too-large" in done.stderr, done.stderr)
    run("touch", "large", "0")
    run("gat", "large", "0", "--output", got)
    with open(got, "rb") as file:
        check("still the same", file.read() == half + half)


def restarts(run, c):
    for name in ("kn", "dpm"):
        run("put", "n", "100")
        run("incr", "n", out="101\n")
        c.kill(name, signal.SIGKILL)
        (c.start_kn if name == "kn" else c.start_dpm)()
        c.wait_serving()
        run("incr", "n", out="102\n")
        run("add", "n", "x", status=5)


def main():
    need_root()
    check = Checks(" ".join(sys.argv))
    with Cluster(sys.argv[1]) as c:
        c.start_dpm()
        c.start_kn()
        c.wait_serving_or_skip()
        run = Shell(c, check)
        conditions(run, check)
        counters(run)
        expiry(run, check, c)
        large(run, check, c)
        run("put", "l", "w")
        run("mget", "k", "l", out="again\nw\n")
        run("mget", "k", "none", "l", status=1, out="again\n\nw\n")
        restarts(run, c)
        check.equal("malformed requests", c.counters()["malformed"], 0)
        c.end_in_order(check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
