#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""doc/crash_testing.md speaks of every defect of the prototype, and the tests and planted bugs that it
names exist."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
text = (root / "doc/crash_testing.md").read_text()
sources = "".join(p.read_text() for p in sorted((root / "test").rglob("*.cc")))
product = "".join(p.read_text() for p in sorted((root / "lib").rglob("*.[ch]*")) if p.suffix in (".cc", ".h"))

tests = {
    f"{suite}.{name}"
    for suite, name in re.findall(r"TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", sources)
}
tests |= {
    f"{seeds}/{suite}"
    for seeds, suite in re.findall(r"INSTANTIATE_TEST_SUITE_P\(\s*(\w+),\s*(\w+)", sources)
}
planted = set(re.findall(r'planted\("([\w-]+)"\)', product))
listed = set(re.findall(r'Plant\{"([\w-]+)"', sources))
simulated = set(re.findall(r"^\| `([a-z]+(?:-[a-z]+)+)` \|", (root / "doc/simulator.md").read_text(), re.MULTILINE))
listed |= simulated

rows = [line for line in text.splitlines() if line.startswith("| ")]
named = re.findall(r"`([A-Z]\w+(?:\.|/)\w+)`", "\n".join(rows))
plants = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", "\n".join(rows))
defects = set(re.findall(r"^\| ([CDGP]\d+) ", text, re.MULTILINE))

# Of the data plane; the others are the cluster's.
required = {f"{kind}{n}" for kind, numbers in (("C", (1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15)), ("D", range(1, 6)),
                                               ("G", range(1, 8)), ("P", range(1, 10))) for n in numbers}
excused = set(re.findall(r"\b([CDGP]\d+)\s+\(", text[text.index("Not shown by a test:"):]))

wrong = [f"{name}: in no row of the table, and not said to be without a test"
         for name in sorted(required - defects - excused)]
wrong += [f"{name}: no such test" for name in named if name not in tests]
wrong += [f"{name}: no such planted bug" for name in plants if name not in planted]
wrong += [f"{name}: planted, but no test switches it on" for name in planted - listed]
wrong += [f"{name}: switched on, but planted nowhere" for name in listed - planted]
if len(named) < 20 or len(defects) < 20:
    wrong.append("the table was not found")
for line in wrong:
    print(line)
print(f"{len(named)} tests and {len(plants)} planted bugs named, {len(defects)} defects")
sys.exit(1 if wrong else 0)
