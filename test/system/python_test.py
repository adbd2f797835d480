#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of the Python module: its structs and numbers against dinomo.h, by a compiler; how it looks
for its library; then python_client.py against a real KN.

Usage: python_test.py BUILD
"""
import json
import os
import re
import subprocess
import sys
import time

from cluster import Checks, Cluster, need_root

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
STRUCTS = {"Options": "dinomo_options", "Result": "dinomo_result", "Operation": "dinomo_operation",
           "Kn": "dinomo_kn"}


def environment(build):
    return {**os.environ, "PYTHONPATH": os.path.join(ROOT, "usertools"),
            "DINOMO_CLIENT_LIBRARY": os.path.join(build, "lib", "sdk", "libdinomo-client.so.1")}


def header_facts(names, fields, folder):
    """What the compiler makes of dinomo.h: {expression: number}."""
    facts = [f"sizeof({s})" for s in fields]
    facts += [f"offsetof({s}, {f})" for s in fields for f in fields[s]]
    facts += [f"sizeof((({s}*)0)->{f})" for s in fields for f in fields[s]]
    facts += names
    source, program = os.path.join(folder, "facts.c"), os.path.join(folder, "facts")
    with open(source, "w", encoding="utf-8") as file:
        file.write("#include <dinomo/dinomo.h>\n#include <stdio.h>\nint main(void) {\n")
        for fact in facts:
            file.write(f'  printf("%s=%zu\\n", "{fact}", (size_t)({fact}));\n')
        file.write("  return 0;\n}\n")
    subprocess.run(["clang-19", "-I", os.path.join(ROOT, "lib", "sdk", "include"), source, "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: int(number) for name, number in (line.rsplit("=", 1) for line in lines)}


def check_layout(build, folder, check):
    os.environ.update(environment(build))
    sys.path.insert(0, os.environ["PYTHONPATH"])
    from dinomo import _library, client  # pylint: disable=import-outside-toplevel
    with open(os.path.join(ROOT, "lib", "sdk", "include", "dinomo", "dinomo.h"), encoding="utf-8") as file:
        header = file.read()
    fields = {s: [f for f, *_ in getattr(_library, p)._fields_] for p, s in STRUCTS.items()}
    numbers = {m.group(1): m.group(2) for m in re.finditer(r"\b(DINOMO_([A-Z_]+)) = \d+", header)}
    facts = header_facts(list(numbers), fields, folder)
    for python_name, c_name in STRUCTS.items():
        struct = getattr(_library, python_name)
        found = {f: (getattr(struct, f).offset, getattr(struct, f).size) for f in fields[c_name]}
        expected = {f: (facts[f"offsetof({c_name}, {f})"], facts[f"sizeof((({c_name}*)0)->{f})"])
                    for f in fields[c_name]}
        check.equal(f"fields of {c_name}", found, expected)
        import ctypes  # pylint: disable=import-outside-toplevel
        check.equal(f"size of {c_name}", ctypes.sizeof(struct), facts[f"sizeof({c_name})"])
    ours = {**client.Status.__members__, **client.Opcode.__members__}
    check.equal("statuses and opcodes", {n: int(v) for n, v in ours.items()},
                {short: facts[name] for name, short in numbers.items()})


def check_loading(build, check):
    code = "import dinomo.client as c; print(c.version())"
    for what, changed, good, word in (
            ("named by the environment", {}, True, "."),
            ("a wrong name says what to do", {"DINOMO_CLIENT_LIBRARY": "/nowhere/lib.so"}, False,
             "DINOMO_CLIENT_LIBRARY")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              env={**environment(build), **changed})
        check(f"library {what}", (done.returncode == 0) == good and word in done.stdout + done.stderr,
              done.stdout + done.stderr[-300:])


def check_top(build, c, check):
    """dinomo-top, while a load runs."""
    top = [sys.executable, os.path.join(ROOT, "usertools", "dinomo-top.py"), "--no-local", "--server", c.server]
    options = {"env": environment(build)}
    load = subprocess.Popen(c.in_client([c.program("dinomo-bench"), "--server", c.server, "--quiet", "--keys",
                                         "1000", "--workload", "a", "--seconds", "60"]),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        rows, deadline = [{}], time.monotonic() + 50
        while not (rows[0].get("writes_per_s") and rows[0].get("gets_per_s")) and time.monotonic() < deadline:
            done = c.client([*top, "--json", "--count", "1", "--interval-s", "0.5"], **options)
            rows = [json.loads(line) for line in done.stdout.splitlines()] or [{}]
        seen = rows[0]
        check("dinomo-top sees the load", len(rows) == 1 and seen.get("gets_per_s", 0) > 0
              and seen.get("writes_per_s", 0) > 0 and 0 <= seen["value_hit_share"] <= 1
              and 0 <= seen["rts_per_get"] < 3 and seen["kn_slot"] == 0, done.stdout + done.stderr)
        done = c.client([*top, "--count", "2", "--interval-s", "0.1"], **options)
        lines = done.stdout.splitlines()
        check("and prints tables", done.returncode == 0 and len(lines) == 5 and "RT/GET" in lines[0]
              and "%" in lines[1], done.stdout + done.stderr)
    finally:
        load.terminate()
        load.wait()
    done = c.client([*top[:-1], "127.0.0.1:9"], **options)
    check("without a server it says so", done.returncode == 1 and done.stderr.startswith("dinomo-top: "),
          done.stdout + done.stderr)
    done = c.client([*top, "--interval-s", "0"], **options)
    check("wrong arguments", done.returncode == 2 and "0.1 to 3600" in done.stderr, done.stderr)


def main():
    need_root()
    check = Checks(" ".join(sys.argv))
    build = os.path.abspath(sys.argv[1])
    with Cluster(build) as c:
        check_layout(build, c.directory, check)
        check_loading(build, check)
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        tests = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_client.py")
        done = c.client([sys.executable, tests, "-v"], env={**environment(build), "DINOMO_SERVER": c.server})
        print(done.stdout + done.stderr)
        check("python_client.py", done.returncode == 0)
        check_top(build, c, check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
