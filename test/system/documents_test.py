#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every command that the documentation shows, typed as a reader would, page by page, each page on a machine of its own on
which the Debian package is installed. How pages say what a test has to know: documents.py.

    documents_test.py BUILD [--whole] [PAGE...]

--whole: also what takes minutes, as it is written."""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cluster import need_root, skip
from documents import Mistake, Page, pages
from sandbox import NoSandbox, Sandbox

SOURCE = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGE_S = 1500

# Cables for two KNs, and a switch where the clients of the page are.
NETWORK = """
ip link add clients type bridge forward_delay 0
ip address add 10.77.0.1/24 dev clients
ip link set clients up
for n in 0 1; do
    ip link add dinomo$n type veth peer name switch$n
    ip link set switch$n master clients
    ip link set switch$n up
    ip link set dinomo$n up
done
"""

# The package's services with its example configuration, on a pool that fits here.
SERVING = """
for kind in dpm kn; do
    sed 's/"4g"/"512m"/; s/"256m"/"32m"/' /usr/share/dinomo/config/one-node-$kind.conf >/etc/dinomo/$kind.conf
done
echo 'warm_s = 1;' >>/etc/dinomo/kn.conf
systemctl start dinomo-dpm dinomo-kn
dinomo-bench --keys 2000 --value-bytes 200 --workload b --seconds 1 --quiet
for _ in $(seq 100); do ! dinomo-stats --health >/dev/null || break; sleep 0.1; done
dinomo-stats --health
"""


def package_into(build, box):
    """The build as a package, installed by apt from what this machine has."""
    with tempfile.TemporaryDirectory(prefix="dinomo-docs-") as folder:
        done = subprocess.run(["bash", os.path.join(SOURCE, "usertools", "make-deb.sh"), "--build", build, "--output", folder],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"make-deb.sh: {done.stdout}{done.stderr}")
        shutil.copy(done.stdout.strip(), box.path("/tmp/dinomo.deb"))
    done = box.run("apt-get install -y --no-install-recommends /tmp/dinomo.deb")
    if done.returncode != 0:
        raise RuntimeError(f"the package is not installed: {done.stdout}")


def script_of(page, build):
    """One script of all blocks, so that folders and variables last from one to the next."""
    lines = [f"cd {SOURCE}", f"[ build -ef {build} ] || {{ mkdir -p build; mount --bind {build} build; }}"]
    if "serving" in page.needs:
        lines += ["export DINOMO_SERVER=10.77.0.2", NETWORK, SERVING]
    for number, step in enumerate(page.steps):
        if not step.skip:
            lines += [f"echo '@@ {number}'", step.script]
    return "\n".join([*lines, "echo '@@ end'"])


def run_page(page, build, base):
    """(results, seconds): for each step None, or what went wrong; steps after it were not reached."""
    with Sandbox("docs", over=base, seen=[SOURCE, build]) as box:
        box.write("/tmp/page.sh", script_of(page, build))
        begun = time.monotonic()
        with tempfile.TemporaryFile("w+", errors="replace") as file:  # no pipe: what runs on in the background would hold it
            late = ""
            try:
                box.run("exec bash -eo pipefail /tmp/page.sh", timeout=PAGE_S, stdout=file, stderr=file)
            except subprocess.TimeoutExpired:
                late = f"\nafter {PAGE_S} s it had not ended"
            file.seek(0)
            out = file.read() + late
        logs = box.run("tail -n 15 /var/log/units/*.log /tmp/background.log 2>/dev/null || true").stdout
    parts = re.split(r"^@@ (\w+)\n", out, flags=re.M)
    reached = dict(zip(parts[1::2], parts[2::2]))
    if "end" in reached:
        return {}, time.monotonic() - begun
    last = parts[-2] if len(parts) > 1 else "before the first block"
    return {last: parts[-1][-3000:] + "\n--- logs\n" + logs[-3000:]}, time.monotonic() - begun


# Pages that this test has to find wrong, and the block in which it has to.
PLANTED = {
    "a command that fails": ("```sh\ntrue\n```\n```sh\nfalse\ntrue\n```\n", "1"),
    "one that fails before &&": ("```sh\nfalse && true\ntrue\n```\n", "0"),
    "one in a pipe": ("```sh\nfalse | cat\ntrue\n```\n", "0"),
    "an option that is not there": ("```sh\ndinomo-sizing --no-such 1\n```\n", "0"),
    "what does not hold after a block": ("```sh\ntrue\n```\n<!-- test: run\n[ a = b ] && true -->\n", "1"),
    "a path of the package": ("```sh\ncp /usr/share/dinomo/config/no-such.conf /tmp\n```\n", "0"),
}
UNREADABLE = {
    "commands in a block of no kind": "```\ndinomo-stats\n```\n",
    "a skip without a reason": "<!-- test: skip -->\n```sh\ntrue\n```\n",
    "sed that changes nothing": "<!-- test: with s/x/y/ -->\n```sh\ntrue\n```\n",
    "a note that is none": "<!-- test: sikp it -->\n```sh\ntrue\n```\n",
    "a note without a block": "<!-- test: skip it -->\n",
}


def finds_planted(build, base):
    """What it misses."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="dinomo-docs-") as folder:
        def page(text):
            path = os.path.join(folder, "page.md")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return Page(folder, path, False)

        for what, (text, where) in PLANTED.items():
            if list(run_page(page(text), build, base)[0]) != [where]:
                missed.append(what)
        for what, text in UNREADABLE.items():
            try:
                page(text)
                missed.append(what)
            except Mistake:
                pass
    return missed


def report(page, wrong, seconds):
    """Prints a line for each step. Returns (passed, failed, skipped)."""
    counts, over = [0, 0, 0], "before the first block" in wrong
    if over:
        print(f"FAIL {page.name}: its machine could not be made ready:\n{wrong['before the first block']}")
        counts[1] += 1
    for number, step in enumerate(page.steps):
        shown = step.script.strip().splitlines()[0][:100]
        if step.skip:
            print(f"skip {step.where}: {shown}: {step.skip}")
            counts[2] += 1
        elif str(number) in wrong:
            print(f"FAIL {step.where}: {step.script}{wrong[str(number)]}")
            counts[1], over = counts[1] + 1, True
        elif over:
            print(f"FAIL {step.where}: not reached: {shown}")
            counts[1] += 1
        elif step.shown:
            print(f"ok   {step.where}: {shown}")
            counts[0] += 1
    print(f"     {page.name}: {seconds:.1f} s", flush=True)
    return counts


def main():
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("build")
    to.add_argument("--whole", action="store_true")
    to.add_argument("page", nargs="*")
    arguments = to.parse_args()
    need_root()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # out of time: what was made goes, too
    build = os.path.abspath(arguments.build)
    found, mistakes = pages(SOURCE, build, arguments.whole)
    if arguments.page:
        found = [p for p in found if p.name in arguments.page]
    total = [0, len(mistakes), 0]
    for mistake in mistakes:
        print(f"FAIL {mistake}")
    try:
        with Sandbox("base", seen=[SOURCE, build]) as base:
            package_into(build, base)
            for what in finds_planted(build, base):
                print(f"FAIL planted, and not found: {what}")
                total[1] += 1
            for page in found:
                if all(step.skip for step in page.steps):
                    counts = report(page, {}, 0)
                else:
                    counts = report(page, *run_page(page, build, base))
                total = [a + b for a, b in zip(total, counts)]
    except NoSandbox as reason:
        if mistakes:
            return 1
        skip(reason)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped, in {len(found)} pages")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
