#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What telemetry costs a KN's engine: CPU time of an operation in engine_bench as it is, and in one whose counters and
latency histograms do all their work eight times. A seventh of the difference is what once costs, and rather more: each
time waits for the stores of the one before. Runs of both are interleaved.

    telemetry_cost.py BUILD [--rounds N] [--only NAME] [--json FILE] [--smoke]

The second program is built in a folder of its own, from a copy of the source in which only two headers differ."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

SOURCE = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BOUND_PERCENT = 2.0
SERVER_NS = 306  # a server's CPU time for a GET of 64 B, one a datagram, over memif: doc/performance.md
TIMES = 8
MORE = {
    "lib/telemetry/counter.h": (
        "    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);\n",
        f"    for (int i = 0; i < {TIMES}; ++i, n = 0) {{\n      asm volatile(\"\" : \"+r\"(n)::\"memory\");\n"
        "      value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);\n    }\n"),
    "lib/telemetry/live_histogram.h": (
        "    counts_[bucket_of(std::min(ns, kValueMax))].add(times);\n",
        "    counts_[bucket_of(std::min(ns, kValueMax))].add(times);\n"
        f"    for (int i = 1; i < {TIMES}; ++i) {{\n      asm volatile(\"\" : \"+r\"(ns)::\"memory\");\n"
        "      max_ns_.set(std::max(max_ns_.get(), uint64_t{bucket_of(std::min(ns, kValueMax)) / kBuckets}));\n    }\n"),
}


def copy_with_more(folder):
    """A copy of the source that does all of it TIMES times."""
    copy = os.path.join(folder, "source")
    shutil.copytree(SOURCE, copy, symlinks=True, ignore=lambda place, names: [
        n for n in names if place == SOURCE and (n.startswith("build") or n == ".git")])
    for name, (old, new) in MORE.items():
        path = os.path.join(copy, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.count(old) != 1:
            sys.exit(f"telemetry_cost: {name} has changed: mend MORE in this script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
    return copy


def build_with_more(folder):
    """The path of the program that does."""
    copy = copy_with_more(folder)
    build = os.path.join(folder, "build")
    environment = {"CC": "clang-19", "CXX": "clang++-19", **os.environ}
    for command in (["meson", "setup", build, copy], ["ninja", "-C", build, "test/bench/engine_bench"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"telemetry_cost: {' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return os.path.join(build, "test", "bench", "engine_bench")


def measure(program, folder, arguments):
    """{variant: ns an operation, the least of the rounds}"""
    out = os.path.join(folder, "out.json")
    subprocess.run([program, "--rounds", "9", "--keys", str(arguments.keys), "--operations", str(arguments.operations), "--only",
                    arguments.only, "--json", out], check=True, stdout=subprocess.DEVNULL)
    with open(out, encoding="utf-8") as file:
        return {row["name"]: row["ns_min"] for row in json.load(file)["engine"]}


def main():
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("build")
    to.add_argument("--rounds", type=int, default=7)
    to.add_argument("--keys", type=int, default=100_000)
    to.add_argument("--operations", type=int, default=100_000)
    to.add_argument("--only", default="64-single", help="variants with this in their name; default: 64-single")
    to.add_argument("--json", metavar="FILE")
    to.add_argument("--smoke", action="store_true", help="only see that the source can still be changed so, and is still good C++")
    arguments = to.parse_args()
    if arguments.smoke:
        with tempfile.TemporaryDirectory(prefix="dinomo-telemetry-cost-") as folder:
            copy = copy_with_more(folder)
            return subprocess.run(["clang++-19", "-std=c++23", "-fsyntax-only", "-Wall", "-Werror", "-x", "c++", f"-I{copy}/lib",
                                   f"{copy}/lib/telemetry/live_histogram.h", "-Wno-pragma-once-outside-header"], check=False).returncode
    once = os.path.join(os.path.abspath(arguments.build), "test", "bench", "engine_bench")
    with tempfile.TemporaryDirectory(prefix="dinomo-telemetry-cost-") as folder:
        more = build_with_more(folder)
        pairs = [(measure(once, folder, arguments), measure(more, folder, arguments)) for _ in range(arguments.rounds)]
    rows = []
    for name in pairs[0][0]:
        # Whatever else the machine does only adds time: the least is the nearest to the truth.
        once_ns, more_ns = min(a[name] for a, _ in pairs), min(b[name] for _, b in pairs)
        cost_ns = (more_ns - once_ns) / (TIMES - 1)
        rows.append({"name": name, "once_ns": once_ns, "more_ns": more_ns, "cost_ns": cost_ns})
        print(f"{name:<28}{once_ns:9.1f} ns; {TIMES} times {more_ns:9.1f} ns; once costs {cost_ns:5.1f} ns, "
              f"{100 * cost_ns / SERVER_NS:5.2f} % of {SERVER_NS} ns")
    mean_ns = statistics.mean(row["cost_ns"] for row in rows)
    percent = 100 * mean_ns / SERVER_NS
    print(f"telemetry, mean of the variants: {mean_ns:.1f} ns an operation, {percent:.2f} % of the {SERVER_NS} ns that the "
          f"cheapest port and the engine take together; bound {BOUND_PERCENT} %")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"variants": rows, "mean_ns": mean_ns, "server_percent": percent}, file, indent=2)
    return 0 if percent <= BOUND_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
