#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs overload_bench and draws goodput over offered load, as shares of the peak.

    goodput.py BUILD_DIR [--seconds S] [--writes PERCENT ...] [--json FILE] [--png FILE] [--smoke]

Exit status: 0, or 1 if a run fails: goodput below 80 % of the peak, but for --smoke. The picture needs matplotlib."""
import argparse
import json
import os
import subprocess
import sys
import tempfile


def measure(args, writes):
    with tempfile.TemporaryDirectory() as directory:
        result = os.path.join(directory, "result.json")
        done = subprocess.run([os.path.join(args.build, "test", "bench", "overload_bench"), "--seconds", str(args.seconds),
                               "--writes", str(writes), "--json", result, *(["--smoke"] if args.smoke else [])], check=False)
        if not os.path.exists(result):
            return False, []
        with open(result, encoding="utf-8") as file:
            return done.returncode == 0, json.load(file)


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
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    runs, good = {}, True
    for writes in args.writes:
        ran, runs[writes] = measure(args, writes)
        good = good and ran
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(runs, file, indent=2)
    if args.png:
        draw(runs, args.png)
    return 0 if good and all(runs.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
