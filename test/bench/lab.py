#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""dinomo-lab at its smallest size, and its picture. usage: lab.py PLOT-LAB DINOMO-LAB

The picture needs matplotlib (usertools/install-packages.sh lab); without it that half says so."""
import json
import os
import subprocess
import sys
import tempfile

plot, lab = sys.argv[1:3]
with tempfile.TemporaryDirectory() as directory:
    result = os.path.join(directory, "lab.json")
    subprocess.run([lab, "--check", "--kinds", "zipf-0.99,mixed-sizes", "--keys", "8000", "--memory", "8,1",
                    "--splits", "4", "--json", result], check=True, timeout=100)
    with open(result, encoding="utf-8") as file:
        document = json.load(file)
    assert [s["stream"] for s in document["streams"]] == ["zipf-0.99", "mixed-sizes"], document
    for stream in document["streams"]:
        assert [p["memory_share"] for p in stream["points"]] == [0.125, 1], stream
        for point in stream["points"]:
            assert 0 < point["dac"]["rts_per_read"] < point["none"]["rts_per_read"] == 2, point
            assert point["held_most_share_of_budget"] <= 1, point
    picture = os.path.join(directory, "lab.png")
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    if subprocess.run([python, "-c", "import matplotlib"], capture_output=True, check=False).returncode != 0:
        print("no picture drawn: matplotlib is not installed")
        sys.exit(0)
    subprocess.run([python, plot, result, picture], check=True, timeout=100)
    with open(picture, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n", "not a PNG"
    broken = subprocess.run([python, plot, plot, picture], capture_output=True, text=True, check=False)
    assert broken.returncode != 0 and "is not a file of dinomo-lab" in broken.stderr, broken
