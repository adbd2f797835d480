#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""clang-tidy over libraries, drivers and programs. One case a file.

What was free of findings before and has not changed since is not looked at again: tidy.sums has, of
each such file, a sum over it, all that it includes from here, its flags and .clang-tidy.

usage: tidy.py [--all] [--record]
  --all      every file
  --record   write tidy.sums anew, if there is no finding"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUMS = ROOT / "test/ci/tidy.sums"
BUILD = ROOT / "build"
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
FOLDERS = ("", "lib", "drivers", "app")
TIDY = "clang-tidy-19"


@functools.cache
def includes(path):
    """The files from here that a file includes itself. What is generated is not among them."""
    found = []
    for name in INCLUDE.findall(path.read_bytes()):
        # A program's own folder is searched, too, and its parts include each other from there.
        places = [path.parent, *path.parents[1].glob("dinomo-*"), path.parents[1], *(ROOT / f for f in FOLDERS)]
        found += [p for p in {(place / name.decode()).resolve() for place in places}
                  if p.is_file() and p.is_relative_to(ROOT)]
    return found


def everything_in(path):
    seen, todo = {path}, [path]
    while todo:
        for other in includes(todo.pop()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return sorted(seen)


def sum_of(path, command):
    flags = [word for word in command.split() if word.startswith(("-D", "-std", "-W", "-f", "-m", "-include"))]
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + TIDY.encode() + " ".join(flags).encode())
    for part in everything_in(path):
        digest.update(str(part.relative_to(ROOT)).encode() + b"\0" + part.read_bytes())
    return digest.hexdigest()


def commands():
    """Of what ships: what is compiled once more with planted bugs has other flags."""
    subprocess.run(["bash", "-c", f'. "{ROOT}/test/lib.sh" && setup_build "{BUILD}"'], check=True, stdout=subprocess.DEVNULL)
    # The examples are compiled by install_test.py, as their users would.
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "lib/*.cc", "drivers/*.cc", "app/*.cc", ":!lib/sdk/examples"],
                            check=True, capture_output=True, text=True).stdout.split()
    entries = [c for c in json.loads((BUILD / "compile_commands.json").read_text())
               if "DINOMO_PLANTED_BUGS" not in c["command"]]
    of = {os.path.realpath(os.path.join(c["directory"], c["file"])): c["command"] for c in entries}
    return entries, {name: of.get(str(ROOT / name), "") for name in listed}


def read_sums():
    lines = SUMS.read_text().splitlines() if SUMS.exists() else []
    return dict(reversed(line.split()) for line in lines if not line.startswith("#"))


def write_sums(sums):
    lines = "".join(f"{sums[name]} {name}\n" for name in sorted(sums))
    SUMS.write_text("# SPDX-License-Identifier: BSD-3-Clause\n# Files without a finding of clang-tidy: test/ci/tidy.py --record\n" + lines)


def tidy(folder, name):
    done = subprocess.run([TIDY, "--quiet", "-p", folder, name], cwd=ROOT, capture_output=True, text=True, check=False)
    findings = [line for line in done.stdout.splitlines() if re.search(r"(error|warning): ", line)]
    return name, done.returncode == 0, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()

    entries, files = commands()
    sums = {name: sum_of(ROOT / name, command) for name, command in files.items()}
    known = read_sums()
    wanted = [name for name in files if arguments.all or known.get(name) != sums[name]]
    jobs = int(os.environ.get("DINOMO_JOBS", os.cpu_count() or 1))
    failed = []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        (pathlib.Path(folder) / "compile_commands.json").write_text(json.dumps(entries))
        for name, clean, findings in pool.map(lambda n: tidy(folder, n), wanted):
            if not clean:
                failed.append(name)
                print("\n".join([f"{name}: findings", *findings]), flush=True)
    if arguments.record and not failed:
        write_sums(sums)
    print(f"{len(files) - len(wanted)} files are as they were when they had no finding (test/ci/tidy.sums; --all looks at them, too)")
    print(f"{len(wanted) - len(failed)} passed, {len(failed)} failed, {len(files) - len(wanted)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
