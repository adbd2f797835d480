#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Round trips per operation, from the KN's own counters: value hit 0, shortcut hit 1, miss 2, absent 1,
put 1 per batch. Cache policies force each kind of read; then a mixed load has to add up exactly.
A slow machine may make clients repeat a request, so reads are counted by the KN, not by the client.

    rt_test.py BUILD_DIR [--keys N] [--seed N] [--fabric shm|mlx5-soft|verbs-soft]
"""
import argparse
import signal
import sys

import cluster

READ_CLASSES = {"value_hits": None, "shortcut_hits": "shortcut_rts", "unmerged_hits": "unmerged_rts",
                "misses": "miss_rts", "absent": "absent_rts"}


class Measured:
    """What the KN's counters grew by, within a `with` block and until everything is merged."""

    def __init__(self, c):
        self.c = c

    def __enter__(self):
        self.before = merged(self.c)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.after = merged(self.c)

    def __getitem__(self, name):
        if name in self.after["round_trips"]:
            return self.after["round_trips"][name] - self.before["round_trips"][name]
        return self.after[name] - self.before[name]

    def reads(self):
        """Round trips for reads, as the fabric counted them and as the classes of reads did."""
        return (self["index"] + self["value"],
                sum(self[rts] for rts in READ_CLASSES.values() if rts))


def merged(c):
    def settled():
        counters = c.counters()
        return counters if counters["unmerged_entries"] == 0 else None
    return c.wait_until(settled, "merge of all entries")


def puts(c, check, common, keys):
    with Measured(c) as m:
        c.bench(*common, "--phase", "load", "--threads", "1", "--window", "1")
    check.equal("puts one by one: entries", m["entries"], keys)
    check.equal("puts one by one: commits", m["commits"], keys)
    check.equal("puts one by one: round trips, 1 each", m["log"], keys)
    with Measured(c) as m:
        c.bench(*common, "--phase", "load", "--threads", "1", "--window", "256")
    check.equal("puts 256 at a time: entries", m["entries"], keys)
    check("puts 256 at a time share batches", m["commits"] < keys, f"({m['commits']} batches)")
    check.equal("puts 256 at a time: round trips, 1 a batch", m["log"], m["commits"])
    check.equal("puts read nothing", m.reads(), (0, 0))


def many_puts(c, check):
    """Across the ends of segments and of the staging ring, where a batch has several pieces."""
    segments = c.stats("dpm")["segments"]
    with Measured(c) as m:
        c.bench("--keys", "25000", "--key-bytes", "30", "--value-bytes", "1300", "--phase", "load",
                "--window", "64", "--timeout-ms", "20000")
    ends = m["log_bytes"] // segments["bytes_each"]
    check("many puts cross segments", ends >= 3, f"({m['log_bytes']} bytes, {ends} segments)")
    check.equal("many puts: round trips, 1 a batch", m["log"], m["commits"])


def overflow_now(c):
    """Overflow buckets of the index, whose keys take a round trip more. The second report from now on was made
    after everything that is merged now."""
    for _ in range(2):
        seen = c.stats("dpm")["uptime_ms"]
        newer = c.wait_until(lambda: (c.stats("dpm") or {}).get("uptime_ms", seen) != seen and c.stats("dpm"),
                             "a report of the DPM")
    return newer["index"]["overflow_used"]


def misses(c, check, common, keys):
    overflow = overflow_now(c)
    with Measured(c) as m:
        phase = c.bench(*common, "--phase", "check", "--verify")
    found = m["misses"]
    check.equal("cache off: every read misses, or waits for one that does", found + m["joined"], m["gets"])
    check("cache off: every key was read", found >= keys, f"({found} misses)")
    longer = m["miss_rts"] - 2 * found
    if overflow == 0 and m["index_retries"] == 0:
        check.equal("miss: 2 round trips each", longer, 0)
        check.equal("miss: one for the bucket, one for the entry", (m["index"], m["value"]), (found, found))
    else:
        check("miss: 2 round trips, more only by overflow buckets", 0 <= longer <= found // 10,
              f"({m['miss_rts']} for {found}, {overflow} overflow buckets)")
    check.equal("miss: fabric and classes agree", *m.reads())
    check.equal("dinomo-bench says the same",
                phase["kn"]["summary"]["round_trips_per_op"]["miss"], m["miss_rts"] / found)


def absent(c, check, count=8):
    with Measured(c) as m:
        for i in range(count):
            check.equal(f"key {i} does not exist", c.cli("get", f"no such key {i}").returncode, 1)
    found = m["absent"]
    check("absent: reads", found >= count, f"({found})")
    check.equal("absent: 1 round trip each", (m["absent_rts"], m["index"], m["value"]), (found, found, 0))
    c.cli("put", "gone", "value")
    with Measured(c) as m:
        check.equal("delete", c.cli("delete", "gone").returncode, 0)
    check.equal("delete: 1 round trip for its batch", (m["commits"], m["log"]), (1, 1))
    check.equal("delete: its lookup is counted like a read", *m.reads())
    with Measured(c) as m:
        check.equal("deleted key", c.cli("get", "gone").returncode, 1)
    check.equal("deleted: 1 round trip", (m["absent_rts"], m.reads()), (m["absent"], (m["absent"],) * 2))


def conditional(c, check, lookup, name):
    """Operations that look at the item first; `lookup`: (index, value) round trips for one that exists."""
    check.equal("a counter", c.cli("put", "n", "1").returncode, 0)
    if lookup[0] == 0:
        c.cli("get", "n")
    for command, status in ((("incr", "n"), 0), (("append", "n", "0"), 0), (("touch", "n", "0"), 0),
                            (("gat", "n", "0"), 0), (("replace", "n", "7"), 0), (("add", "n", "8"), 5)):
        with Measured(c) as m:
            check.equal(f"{name}: {command[0]}", c.cli(*command).returncode, status)
        check.equal(f"{name}: {command[0]}: round trips to look, and 1 for its batch",
                    ((m["index"], m["value"]), m["log"], m["entries"]), (lookup, 1, 1))
    overflow = overflow_now(c)
    with Measured(c) as m:
        check.equal(f"{name}: incr of no key", c.cli("incr", "no such counter").returncode, 1)
    check.equal(f"{name}: nothing there: 1 for the outcome", (m["value"], m["log"]), (0, 1))
    check(f"{name}: nothing there: 1 to look, more only by overflow buckets",
          m["index"] == 1 or (overflow != 0 and 1 < m["index"] <= 4), f"({m['index']}, {overflow} overflow buckets)")


def second_pass(c, check, common, keys, kind, round_trips):
    overflow = overflow_now(c)
    with Measured(c) as m:
        c.bench(*common, "--phase", "check", "--verify")
    check.equal(f"{kind}: the first pass misses", m["misses"], keys)
    longer = m["index"] - keys
    check(f"{kind}: one look at the index each, more only by overflow buckets",
          longer == 0 or (overflow != 0 and 0 < longer <= keys // 10),
          f"({m['index']} for {keys}, {overflow} overflow buckets)")
    with Measured(c) as m:
        c.bench(*common, "--phase", "check", "--verify")
    check(f"{kind}: the second pass hits", m[kind] >= keys and m[kind] + m["joined"] == m["gets"],
          f"({m[kind]} of {m['gets']}, {m['joined']} joined)")
    check.equal(f"{kind}: {round_trips} round trips each", m.reads(), (m[kind] * round_trips,) * 2)
    check.equal(f"{kind}: the index is not read", m["index"], 0)


def mixed(c, check, common, policy, seed):
    with Measured(c) as m:
        c.bench(*common, "--phase", "run", "--workload", "a", "--ops", "30000", "--verify",
                "--warmup-seconds", "0", "--seed", str(seed))
    name = f"mixed load, {policy}"
    answered = sum(m[k] for k in READ_CLASSES) + m["joined"]
    check.equal(f"{name}: every read is of one class", answered, m["gets"])
    check.equal(f"{name}: fabric and classes agree", *m.reads())
    check.equal(f"{name}: writes, 1 round trip a batch", m["log"], m["commits"])
    print("     " + ", ".join(f"{m[k]} {k.replace('_', ' ')}" for k in READ_CLASSES),
          f"{m['joined']} joined, {m['entries']} entries in {m['commits']} commits")


def run(a):
    check = cluster.Checks(" ".join(sys.argv))
    common = ["--keys", str(a.keys), "--value-bytes", "256", "--timeout-ms", "20000"]
    with cluster.Cluster(a.build, fabric=a.fabric) as c:
        c.start_dpm()

        def policy(name, *extra):
            c.kill("kn", signal.SIGTERM)
            c.start_kn("--cache-policy", name, *extra)
            c.wait_serving()

        policy("none")
        puts(c, check, common, a.keys)
        misses(c, check, common, a.keys)
        absent(c, check)
        conditional(c, check, (1, 1), "cache off")
        many_puts(c, check)
        mixed(c, check, common, "none", a.seed)
        policy("shortcut-only", "--cache-bytes", "64m")
        second_pass(c, check, common, a.keys, "shortcut_hits", 1)
        policy("value-only", "--cache-bytes", "64m")
        second_pass(c, check, common, a.keys, "value_hits", 0)
        conditional(c, check, (0, 0), "value hit")
        policy("dac", "--cache-bytes", "64m")
        second_pass(c, check, common, a.keys, "value_hits", 0)
        policy("dac", "--cache-bytes", "1m")
        c.bench(*common, "--keys", str(5 * a.keys), "--phase", "load")
        mixed(c, check, [*common, "--keys", str(5 * a.keys)], "dac with little memory", a.seed)
        c.end_in_order(check)
    return check.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--keys", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fabric", default="shm", choices=cluster.Cluster.FABRICS)
    arguments = parser.parse_args()
    cluster.need_root()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
