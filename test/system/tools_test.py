#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each tool as a new user finds it: with nothing running, without permission, and with three KNs under load on terminals
of 80 and 200 columns. Every answer has to be of use: within the terminal's width, no stack trace, an error that begins
with the tool's name, the right exit status.

    tools_test.py BUILD [--captures FILE]

--captures: also writes what the live views show there, for doc/live_views.md."""
import argparse
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time

from cluster import Checks, need_root
from kn_cluster import KnCluster
from python_test import environment

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "usertools")
KNS = 3
WIDTHS = (80, 200)
LINES = 30
KEYS = "60000"  # more than the caches hold, so that there are misses
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# Does not see what else runs on this machine.
ALONE = ("unshare", "--mount", "bash", "-c", """for f in /run/dinomo* /var/run/dpdk /tmp/dpdk; do
    [ ! -d "$f" ] || mount -t tmpfs tmpfs "$f"
done
exec "$@" """, "alone")


def tool(name, *arguments, folder=TOOLS):
    """By Debian's Python, to which its modules belong."""
    return ["/usr/bin/python3", os.path.join(folder, name + ".py"), *arguments]


class Terminal:
    """Runs commands on a terminal of some width."""

    def __init__(self, columns, env):
        self.columns, self.env = columns, {k: v for k, v in env.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}

    def open(self, command):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, self.columns, 0, 0))
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=self.env, start_new_session=True)
        os.close(theirs)
        return process, ours

    @staticmethod
    def read(fd, seconds, until=None):
        """What comes until it ends, `until` is seen, or the time is over."""
        text, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline and not (until and until in text):
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    piece = os.read(fd, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                text += piece
        return text

    def run(self, command, seconds=60):
        """(exit status, lines)"""
        process, fd = self.open(command)
        text = self.read(fd, seconds)
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        os.close(fd)
        return status, text.decode(errors="replace").replace("\r\n", "\n").splitlines()


def of_use(check, what, terminal, done, statuses, words=""):
    status, lines = done
    text = "\n".join(lines)
    # Python's own words about a wrong command line are as long as they are.
    wide = [line for line in lines if len(line) > terminal.columns and not re.match(r"[\w-]+: error: ", line)]
    bad = [why for why, is_so in (("a stack trace", "Traceback" in text), ("nothing is said", not text.strip()),
                                  (f"status {status}", status not in statuses), (f"no `{words}`", words not in text),
                                  (f"lines beyond column {terminal.columns}", bool(wide))) if is_so]
    check(f"{what}, {terminal.columns} columns", not bad, "" if not bad else f"{bad}:\n{text}")
    return text


def nothing_runs(check, folder):
    env = {**os.environ, "RUNTIME_DIRECTORY": folder}
    for terminal in (Terminal(columns, env) for columns in WIDTHS):
        for name, arguments, status, words in (
                ("dinomo-stats", (), (1,), "dinomo-stats: no dinomo-kn or dinomo-dpm"),
                ("dinomo-stats", ("--health",), (1,), "dinomo-stats: no"), ("dinomo-stats", ("--latency",), (1,), "dinomo-stats: no"),
                ("dinomo-stats", ("-w", "0"), (2,), "0.1 to 3600"), ("dinomo-exporter", ("--once",), (1,), "dinomo-exporter: "),
                ("dinomo-plot", ("none.jsonl", "x.png"), (1,), "dinomo-plot: "), ("dinomo-plot", (), (2,), "usage"),
                ("dinomo-doctor", (), (0, 1), " ok"), ("dinomo-devbind", (), (0,), ""), ("dinomo-devbind", ("bind", "nic9"), (1,), "nic9"),
                ("dinomo-hugepages", (), (0,), "page"), ("dinomo-hugepages", ("reserve", "9999999g"), (1,), "nothing was changed"),
                ("dinomo-sizing", (), (2,), "usage"),
                ("dinomo-sizing", ("--keys", "1m", "--value-bytes", "1k", "--ops", "1m"), (0,), "--pool-bytes")):
            of_use(check, f"nothing runs: {name} {' '.join(arguments)}", terminal,
                   terminal.run([*ALONE, *tool(name, *arguments)]), status, words)


def programs(check, what, before, path_of, cases):
    """Programs do not look at the terminal's width; they begin an error with their name as well."""
    for name, arguments, status, words in cases:
        done = subprocess.run([*before, path_of(name), *arguments], capture_output=True, text=True, timeout=60, check=False)
        said = done.stdout + done.stderr
        good = done.returncode == status and words in said and (f"{name}: " in said or " error " in said)
        check(f"{what}: {name} {' '.join(arguments)}", good, "" if good else f"({done.returncode}) {said[-2000:]}")


def programs_alone(c, check):
    """With nothing to talk to, and with a wrong command line."""
    gone = ("--server", "127.0.0.1:9", "--timeout-ms", "300")
    programs(check, "nothing runs", (), c.program, (
        ("dinomo-kn", (), 2, "dpm is missing"), ("dinomo-dpm", (), 2, "pool is missing"),
        ("dinomo-cli", (), 2, "dinomo-cli get"), ("dinomo-cli", ("nosuch",), 2, "stats, or cluster"),
        ("dinomo-cli", ("get",), 2, "dinomo-cli: KEY is required"), ("dinomo-cli", ("cluster",), 2, "dinomo-cli: A subcommand"),
        ("dinomo-cli", (*gone, "get", "x"), 4, "is dinomo-kn running there?"),
        ("dinomo-bench", gone, 4, "is dinomo-kn running there?"), ("dinomo-bench", ("--nosuch",), 2, "dinomo-bench: The following"),
        ("dinomo-lab", ("--nosuch",), 2, "dinomo-lab: The following"), ("dinomo-sim", (), 2, "dinomo-sim: A subcommand"),
        ("dinomo-sim", ("run", "--nosuch"), 2, "dinomo-sim: The following"), ("dinomo-sim", ("check", "/none"), 2, "/none")))


def open_to_all(c, folder):
    """Copies of the tools and of two programs: the checkout may lie where others cannot read."""
    os.chmod(folder, 0o755)
    tools = shutil.copytree(TOOLS, os.path.join(folder, "usertools"), ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dinomo-kn", "dinomo-dpm", "dinomo-cli", "dinomo-bench", "dinomo-sim"):
        shutil.copy(c.program(name), folder)
    return tools


def without_permission(c, check, folder):
    """As nobody, beside nodes whose folder is closed to others."""
    tools = open_to_all(c, folder)
    os.chmod(c.directory, 0o750)
    for terminal in (Terminal(columns, {**c.environment, "PYTHONDONTWRITEBYTECODE": "1"}) for columns in WIDTHS):
        for name, arguments, words in (("dinomo-stats", (), "permission denied"), ("dinomo-exporter", ("--once",), "permission denied"),
                                       ("dinomo-hugepages", ("reserve", "2m"), "permission denied")):
            of_use(check, f"as nobody: {name} {' '.join(arguments)}", terminal,
                   terminal.run([*NOBODY, *tool(name, *arguments, folder=tools)]), (1,), words)
        of_use(check, "as nobody: dinomo-doctor", terminal, terminal.run([*NOBODY, *tool("dinomo-doctor", folder=tools)]), (0, 1), " ok")
    control = c.path("dpdk/dinomo-dpm/dpdk_telemetry.v2")
    port = ("--no-huge", "-m", "64", "--no-pci", "--no-telemetry", "--file-prefix", f"nobody{os.getpid()}", "--vdev",
            "net_af_packet0,iface=lo", "--")
    programs(check, "as nobody", NOBODY, lambda name: os.path.join(folder, name), (
        ("dinomo-dpm", ("--pool", "/etc/pool", "--listen", "/etc/s"), 1, "no permission to create a file in /etc"),
        ("dinomo-dpm", ("--pool", c.path("pool"), "--check"), 2, "Permission denied"),
        ("dinomo-kn", (*port, "--dpm", "/none", "--ip", "10.77.0.9/24"), 1, "whether this user has CAP_NET_RAW"),
        ("dinomo-cli", ("cluster", "--control", control, "status"), 4, f"dinomo-cli: --control {control}: Permission denied"),
        ("dinomo-bench", ("--server", "127.0.0.1:9", "--timeout-ms", "300"), 4, "is dinomo-kn running there?"),
        ("dinomo-sim", ("check", c.path("none")), 2, "Permission denied")))


def under_load(c, check, captures):
    env = {**environment(c.build), **{k: c.environment[k] for k in ("RUNTIME_DIRECTORY",)}}
    servers = ",".join(f"10.77.0.{2 + slot}" for slot in range(KNS))
    for columns in WIDTHS:
        terminal = Terminal(columns, env)
        for arguments, words in ((("hits", "misses", "unmerged"), "value_hits"), (("--health",), "yes"), (("--latency",), "p99"),
                                 (("-w", "0.2", "-n", "2", "requests"), "per second"), (("space",), "space_free_bytes"),
                                 (("nosuch",), "no figure has nosuch")):
            of_use(check, f"dinomo-stats {' '.join(arguments)}", terminal, terminal.run(tool("dinomo-stats", *arguments)),
                   (1,) if arguments == ("nosuch",) else (0,), words)
        text = of_use(check, "dinomo-top --count 1", terminal,
                      terminal.run(c.in_client(tool("dinomo-top", "--server", servers, "--count", "1", "--interval-s", "2"))),
                      (0,), "RT/GET")
        shows_cluster(check, text, columns)
        captures[f"dinomo-top, {columns} columns"] = text
        live(c, check, terminal, servers)
    done = c.client(tool("dinomo-top", "--server", servers, "--count", "1", "--json"), env=env)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    check("dinomo-top --json has every KN, all partitions, and the load",
          [r["kn_slot"] for r in rows] == list(range(KNS)) and sum(r["partitions"] for r in rows) == 4096
          and sum(r["requests_per_s"] for r in rows) > 0, done.stdout + done.stderr)
    captures["dinomo-stats --latency"] = "\n".join(Terminal(100, env).run(tool("dinomo-stats", "--latency"))[1])
    captures["dinomo-stats -w 1 -n 1 hits misses unmerged"] = "\n".join(
        Terminal(100, env).run(tool("dinomo-stats", "-w", "1", "-n", "1", "hits", "misses", "unmerged"))[1])


def shows_cluster(check, text, columns):
    """What the live view is for, on the narrow terminal as well."""
    rows = re.findall(r"^ +([0-9]+) .*$", text, re.M)
    check(f"it has every KN, {columns} columns", rows == [str(s) for s in range(KNS)], "" if rows else text)
    for words in ("part.", "req/s", "values", "shortc", "misses", "lag", "DPM pool: ", " used, ", "merge: ", "p99 us"):
        check(f"it shows `{words}`, {columns} columns", words in text, "" if words in text else text)


def live(c, check, terminal, servers):
    """The full-screen view: draws, goes on, and gives the terminal back."""
    process, fd = terminal.open(c.in_client(tool("dinomo-top", "--server", servers, "--interval-s", "0.3")))
    text = terminal.read(fd, 60, b"RT/GET")
    check(f"dinomo-top fills the screen, {terminal.columns} columns", b"\x1b[?1049h" in text and b"RT/GET" in text, repr(text[-500:]))
    more = terminal.read(fd, 3)
    check(f"and goes on, {terminal.columns} columns", len(more) > 0)
    os.write(fd, b"q")
    rest = terminal.read(fd, 20)
    try:
        status = process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    os.close(fd)
    check(f"q gives the screen back, {terminal.columns} columns", status == 0 and b"\x1b[?1049l" in more + rest,
          f"({status}) {rest[-200:]!r}")


def with_a_cluster(c, check, captures):
    c.start_dpm()
    for slot in range(KNS):
        c.start_slot(slot)
    c.wait_divided(range(KNS), 60)
    servers = ",".join(f"10.77.0.{2 + slot}" for slot in range(KNS))
    health = {"env": c.environment, "capture_output": True, "check": False}
    c.wait_until(lambda: subprocess.run(tool("dinomo-stats", "--health"), **health).returncode == 0, "ready KNs")
    c.bench("--server", servers, "--keys", KEYS, "--value-bytes", "1000", "--phase", "load")
    load = subprocess.Popen(c.in_client([c.program("dinomo-bench"), "--server", servers, "--keys", KEYS, "--value-bytes", "1000",
                                         "--phase", "run", "--workload", "a", "--seconds", "600", "--quiet"]),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        under_load(c, check, captures)
        with tempfile.TemporaryDirectory(prefix="dinomo-tools-") as folder:
            without_permission(c, check, folder)
        check("the load went on", load.poll() is None)
    finally:
        load.terminate()
        load.wait()


def write_captures(path, captures):
    with open(path, "w", encoding="utf-8") as file:
        file.write("<!-- SPDX-License-Identifier: BSD-3-Clause -->\n# Live views\n\n"
                   "Three KNs, each with 16 MiB of cache, and a DPM with 60000 items of 1000 bytes under YCSB A, on two CPUs that "
                   "they share with the clients. Made by\n"
                   "`test/system/tools_test.py build --captures doc/live_views.md`. What the columns mean: "
                   "[operations](operations.md#live-view).\n")
        for title, text in captures.items():
            text = re.sub(r"\x1b\[\d*[A-Za-z]", "", text)
            lines = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
            file.write(f"\n## {title}\n\n```text\n{lines}\n```\n")


def main():
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("build")
    to.add_argument("--captures", metavar="FILE")
    arguments = to.parse_args()
    need_root()
    check, captures = Checks(" ".join(sys.argv)), {}
    folder = tempfile.mkdtemp(prefix="dinomo-tools-")
    try:
        nothing_runs(check, folder)
    finally:
        shutil.rmtree(folder)
    with KnCluster(os.path.abspath(arguments.build), KNS, ["--warm-s", "1"], pool_bytes="512m", telemetry=True) as c:
        programs_alone(c, check)
        with_a_cluster(c, check, captures)
    if arguments.captures and not check.failed:
        write_captures(arguments.captures, captures)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
