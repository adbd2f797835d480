#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Throughput while the load and the KNs change, DINOMO beside DINOMO-N, in virtual time (doc/evaluation.md): the
published elasticity experiment, and a KN that fails. Prints what each change cost, writes JSON and a picture.

usage: timeline.py BUILD [--json FILE] [--png FILE] [--jobs N] [--set NAME=NUMBER ...] [--smoke]

  --from FILE    draws that JSON again, runs nothing
  --smoke        its smallest size, as a test; what has to hold at any size is asserted

The picture needs Debian's python3-matplotlib (run by /usr/bin/python3)."""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CALIBRATION = os.path.join(HERE, "../../app/dinomo-eval/calibration.cfg")
STYLE = (("dinomo", "DINOMO", "#d55e00"), ("dinomo-n", "DINOMO-N", "#0072b2"))
# Script -> virtual time for each of its seconds: what is waited for between two changes is shortened, changes are not.
# A failure has to be longer than a lease, which is a second.
SECOND_US = {"elasticity": 10_000, "failure": 50_000}
# The paper's Zipf; few threads and operations in flight, so that three seconds are some millions of operations.
SETS = ("zipf_percent=50", "kn_threads=2", "depth=64")
PAPER_GB = 32


def run_one(build, engine, script, second_us, sets):
    command = [os.path.join(build, "app/dinomo-eval/dinomo-eval"), CALIBRATION, "--engine", engine, "--timeline", script,
               "--second-us", str(second_us), "--set", *SETS, *sets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"timeline.py: {engine}, {script}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run_all(options):
    cases = [(engine, script) for script in SECOND_US for engine, _, _ in STYLE]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(run_one, options.build, engine, script, options.seconds_us[script], options.sets)
                for engine, script in cases]
        return [r.result() for r in runs]


def print_table(runs):
    print(f"{'':10} {'at s':>6}  {'what':10} {'took ms':>8} {'nobody served ms':>17} {'keys moved':>11} {'MB':>7} "
          f"{'moving ms':>10}  {PAPER_GB} GB: s")
    for run in runs:
        for e in run["events"]:
            if "took_us" not in e:
                continue
            # Through the data, as many times more of it as the paper has.
            at_paper = f"{e['moving_us'] * run['scale'] / 1e6:10.1f}" if e["keys_moved"] else f"{'-':>10}"
            print(f"{run['engine']:10} {e['at_s'] * run['second_us'] / 1e6:6.2f}  {e['what']:10} {e['took_us'] / 1e3:8.1f} "
                  f"{e['silence_us'] / 1e3:17.1f} {e['keys_moved']:11} {e['bytes_moved'] / 1e6:7.1f} "
                  f"{e.get('moving_us', 0) / 1e3:10.1f} {at_paper}")


def draw(document, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no picture drawn: matplotlib is not installed (apt install python3-matplotlib)")
        return
    runs = document["runs"]
    figure, axes = pyplot.subplots(len(SECOND_US), len(STYLE), figsize=(11, 6.4), squeeze=False, sharey="row")
    for row, script in enumerate(SECOND_US):
        for column, (engine, legend, colour) in enumerate(STYLE):
            panel = axes[row][column]
            run = next(r for r in runs if r["engine"] == engine and r["script"] == script)
            second_s = run["second_us"] / 1e6
            panel.plot([i * second_s for i in range(len(run["mops_per_s"]))], run["mops_per_s"], color=colour, linewidth=1.1)
            top = max(run["mops_per_s"])
            for e in run["events"][1:]:
                word = f"{e['clients']} clients" if "clients" in e else e["what"]
                panel.axvline(e["at_s"] * second_s, color="#888888", linewidth=0.8, linestyle=":")
                panel.text(e["at_s"] * second_s, top * 1.04, word, rotation=40, fontsize=7, ha="left", va="bottom")
            panel.set_ylim(0, top * 1.3)
            panel.set_title(f"{legend}, {script}", fontsize=10, loc="left", pad=12)
            panel.set_xlabel("s (virtual)")
            panel.grid(alpha=0.3)
        axes[row][0].set_ylabel("M operations/s")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def changes(runs, engine, script):
    run = next(r for r in runs if r["engine"] == engine and r["script"] == script)
    return [e for e in run["events"] if "took_us" in e]


def check_smoke(runs):
    """What holds at any size."""
    for script, count in (("elasticity", 3), ("failure", 1)):
        ours, theirs = changes(runs, "dinomo", script), changes(runs, "dinomo-n", script)
        assert len(ours) == len(theirs) == count, (ours, theirs)
        for a, b in zip(ours, theirs):
            assert a["bytes_moved"] == 0 < b["bytes_moved"], (a, b)
            assert b["blocked_us"] >= b["moving_us"] > 0, b
            assert b["silence_us"] >= b["moving_us"] / 2, b
    for e in changes(runs, "dinomo", "elasticity"):
        assert e["silence_us"] < 1_000_000, e  # not a second at zero
    for run in runs:
        assert max(run["mops_per_s"]) > 0, run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    options.seconds_us = dict(SECOND_US)
    if options.smoke:
        options.sets += ["scale=2560", "kn_threads=1", "depth=8"]
        options.seconds_us = {"elasticity": 1_000, "failure": 30_000}
    if options.source:
        with open(options.source, encoding="utf-8") as file:
            document = json.load(file)
    else:
        document = {"figure": "timeline", "runs": run_all(options)}
    print_table(document["runs"])
    if options.smoke:
        check_smoke(document["runs"])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.write("\n")
    if options.png:
        draw(document, options.png)


if __name__ == "__main__":
    main()
