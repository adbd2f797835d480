#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs overload_bench and draws goodput over offered load, as shares of the peak.

    goodput.py BUILD_DIR [--seconds S] [--writes PERCENT ...] [--repeats N] [--json FILE] [--png FILE] [--smoke]

Each point is the median of the repeats, which are interleaved. Exit status: 0, or 1 if a run fails or, but for --smoke, goodput from 1 to 3
times the peak is below 80 % of the peak. The picture needs matplotlib."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

LEAST = 0.8


def run_once(args, writes):
    """The points of one run; CalledProcessError if it failed. Whether goodput is too low the medians tell."""
    with tempfile.TemporaryDirectory() as directory:
        result = os.path.join(directory, "result.json")
        subprocess.run([os.path.join(args.build, "test", "bench", "overload_bench"), "--seconds", str(args.seconds),
                        "--writes", str(writes), "--no-judgement", "--json", result, *(["--smoke"] if args.smoke else [])], check=True)
        with open(result, encoding="utf-8") as file:
            return json.load(file)


def middle(repeats):
    """Point by point the median of every number."""
    return [{name: statistics.median(p[name] for p in points) for name in points[0]} for points in zip(*repeats)]


def draw(runs, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no picture drawn: matplotlib is not installed (apt install python3-matplotlib)")
        return
    figure, panel = pyplot.subplots(figsize=(5.2, 3.6))
    for writes, points in runs.items():
        line = [p for p in points if p["times"] > 0]
        panel.plot([p["times"] for p in line], [p["of_peak"] for p in line], marker="o", label=f"{writes} % PUT")
    panel.axhline(0.8, linestyle=":", color="grey", label="80 %")
    panel.set_xlabel("offered, times the peak")
    panel.set_ylabel("goodput, of the peak")
    panel.set_ylim(0, 1.1)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--writes", type=int, nargs="+", default=[50, 0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    repeats = {writes: [] for writes in args.writes}
    try:
        for _ in range(args.repeats):
            for writes in args.writes:
                repeats[writes].append(run_once(args, writes))
    except subprocess.CalledProcessError as failed:
        print(failed)
        return 1
    runs = {writes: middle(of) for writes, of in repeats.items()}
    good = True
    for writes, points in runs.items():
        shares = {p["times"]: p["of_peak"] for p in points if p["times"] > 0}
        least = min(share for times, share in shares.items() if times >= 1)
        print(f"{writes} % PUT, peak {points[0]['goodput_ops_per_s'] / 1e6:.2f} M/s:",
              ", ".join(f"{times:g} x {share:.0%}" for times, share in shares.items()))
        good = good and (args.smoke or least >= LEAST)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(runs, file, indent=2)
    if args.png:
        draw(runs, args.png)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
