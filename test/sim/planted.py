#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""dinomo-sim finds every planted bug of the table in doc/simulator.md within the seeds given there.

usage: planted.py PROGRAM [--quick] [NAME]...
  --quick  only those that are found within 20 seeds
Prints TAP. PROGRAM is dinomo-sim-planted."""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `([a-z-]+)` \|[^|]*\| `?([a-z_]+)`? \| (\d+) \|", re.MULTILINE)
QUICK_SEEDS = 20
SOUND_SEEDS = 20


def arguments_of(scenario: str) -> list[str]:
    if scenario == "swarm":
        return ["--swarm"]
    return [str(ROOT / "test/sim/scenarios" / f"{scenario}.cfg")]


def run(program: str, plant: str, scenario: str, seeds: int) -> tuple[int, str]:
    command = [program, "run", *arguments_of(scenario), "--seeds", f"1-{seeds}", "--jobs", "1",
               "--no-shrink", "--until-failure", "--plant", plant]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"^seed (\d+) (.*)$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        return done.returncode, done.stdout
    return done.returncode, f"seed {found[1]}: {found[2]}" if found else "nothing found"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()

    rows = [(name, scenario, int(seeds)) for name, scenario, seeds in
            ROW.findall((ROOT / "doc/simulator.md").read_text())]
    if len(rows) < 20:
        print("Bail out! the table in doc/simulator.md was not found")
        return 1
    unknown = set(arguments.names) - {row[0] for row in rows}
    if unknown:
        print(f"Bail out! not in the table: {', '.join(sorted(unknown))}")
        return 1
    if arguments.names:
        rows = [row for row in rows if row[0] in arguments.names]
    elif arguments.quick:
        rows = [row for row in rows if row[2] <= QUICK_SEEDS]

    scenarios = sorted({row[1] for row in rows})
    jobs = [("", scenario, SOUND_SEEDS if scenario == "swarm" else 2) for scenario in scenarios] + rows
    print(f"1..{len(jobs)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda job: run(arguments.program, *job), jobs)
        for number, ((plant, scenario, seeds), (status, said)) in enumerate(zip(jobs, results), 1):
            good = status == (1 if plant else 0)
            failed += not good
            what = f"{plant} is found" if plant else "nothing is found without a bug"
            print(f"{'ok' if good else 'not ok'} {number} - {what} ({scenario}, {seeds} seeds): {said}"
                  .replace("#", "no. "), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
