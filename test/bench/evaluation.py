#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""All figures and tables of doc/evaluation.md, into a folder, as JSON, text and pictures.

usage: evaluation.py BUILD FOLDER [--jobs N] [--only NAME,...]

It stops at the first part that fails. Needs dinomo-eval and dinomo-lab built."""
import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = ["--set", "scale=512"]
SMALLEST = ["--set", "scale=2560", "--set", "warm_per_key=20", "--set", "counted_per_key=8"]


def many_kns(bytes_per_us, verb_ns):
    return ["scaling.py", "--kns", "16,32,64", "--engines", "dinomo,dinomo-r,clover", "--reads", "100,50", *SMALL,
            "--set", f"bytes_per_us={bytes_per_us}", "--set", f"verb_ns={verb_ns}"]


# Name: a script beside this one and what it is given.
PARTS = {
    "scaling": ["scaling.py"],
    "sensitivity": ["scaling.py", "--sensitivity", *SMALLEST],
    "load-balancing": ["scaling.py", "--replicated", "0,1,4,16", "--kns", "4,16", "--reads", "100", "--set", "zipf_percent=200",
                       "--set", "scale=512"],
    "many-kns-56g": many_kns(6_000, 38),
    "many-kns-100g": many_kns(12_500, 10),
    "many-kns-400g": many_kns(50_000, 5),
    "timeline": ["timeline.py"],
}
DRAWN = ("scaling", "timeline")


def run_part(name, options):
    script, *rest = PARTS[name]
    into = os.path.join(options.folder, name)
    command = [sys.executable, os.path.join(HERE, script), options.build, "--jobs", str(options.jobs), "--json", into + ".json", *rest]
    if name in DRAWN:
        command += ["--png", into + ".png"]
    with open(into + ".txt", "w", encoding="utf-8") as text:
        return subprocess.run(command, stdout=text, check=False).returncode


def run_lab(options):
    """DAC beside static splits: the laboratory's own figure, values of the paper's size."""
    into = os.path.join(options.folder, "lab")
    lab = os.path.join(options.build, "app/dinomo-lab/dinomo-lab")
    with open(into + ".txt", "w", encoding="utf-8") as text:
        code = subprocess.run([lab, "--kinds", "zipf-0.99", "--value-bytes", "1000", "--json", into + ".json"], stdout=text,
                              check=False).returncode
    plot = os.path.join(HERE, "../../usertools/plot-lab.py")
    return code or subprocess.run([sys.executable, plot, into + ".json", into + ".png"], check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("folder")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=",".join([*PARTS, "lab"]))
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    for name in options.only.split(","):
        begin = time.monotonic()
        code = run_lab(options) if name == "lab" else run_part(name, options)
        if code != 0:
            sys.exit(f"evaluation.py: {name} failed")
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
