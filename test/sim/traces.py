#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same seeds are the same runs: twice, whatever memory held before, in one process or several,
and in every build.

usage: traces.py [--seeds A-B] PROGRAM...
PROGRAMs are builds of dinomo-sim of one state of the source: debug or release, of another compiler,
with sanitizers, with places for planted bugs. Prints TAP."""

import argparse
import os
import re
import subprocess
import sys

# What was freed or never written is filled with these bytes by malloc; addresses differ by themselves.
RUNS = [("as it is", {}, 1), ("in two processes", {}, 2), ("memory of 0x5a", {"MALLOC_PERTURB_": "165"}, 1),
        ("memory of 0xff", {"MALLOC_PERTURB_": "1"}, 1)]


def trace(program: str, seeds: str, environment: dict[str, str], jobs: int) -> str:
    command = [program, "run", "--swarm", "--seeds", seeds, "--jobs", str(jobs), "--no-shrink"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=os.environ | environment)
    found = re.search(r"; traces ([0-9a-f]{16})$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not found:
        return f"status {done.returncode}: {done.stdout[-400:]}"
    return found[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1-25")
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    print(f"1..{len(arguments.programs) * len(RUNS)}", flush=True)
    expected = ""
    failed = 0
    number = 0
    for program in arguments.programs:
        for what, environment, jobs in RUNS:
            number += 1
            seen = trace(program, arguments.seeds, environment, jobs)
            expected = expected or seen
            good = seen == expected and re.fullmatch(r"[0-9a-f]{16}", seen) is not None
            failed += not good
            said = seen.replace("\n", " ").replace("#", "no. ")
            print(f"{'ok' if good else 'not ok'} {number} - {os.path.basename(program)} {what}: {said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
