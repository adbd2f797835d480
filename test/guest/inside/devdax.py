# SPDX-License-Identifier: BSD-3-Clause
"""The guest's persistent memory as a device without files, with an empty pool on it; an older one goes."""
import re
import subprocess

LAYOUT = "dinomo-1"


def make_devdax_pool():
    made = subprocess.run(["ndctl", "create-namespace", "-f", "-e", "namespace0.0", "--mode=devdax",
                           "--map=mem"], check=True, capture_output=True, text=True)
    device = "/dev/" + re.search(r'"chardev":"([^"]+)"', made.stdout).group(1)
    subprocess.run(["pmempool", "create", "--force", "--layout", LAYOUT, "obj", device], check=True)
    return device
