#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The part of quickstart.sh that comes with --kns: under a load whose every value is checked, a KN is added, one is drained
and let in again, one is killed and started again, while a live view shows what each KN does; then a picture of it all.

usage: elastic_demo.py BUILD --kns N [--seconds N] [--keys N] [--rate N] [--keep] [--json FILE] [--png FILE]"""
import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

from dinomo_tools.telemetry import Node
from elastic_view import Recorder, Screen, amount

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "test", "system"))
from kn_cluster import KnCluster  # noqa: E402  pylint: disable=wrong-import-position

STEPS = 7  # of quickstart.sh: packages and build are behind us
WINDOW = 20_000  # operations that may wait for a KN while those of the others go on
RATE_MAX = 12_000  # a second: what waits for a KN that was killed has to find room in the window
WAIT_S = 60
SHARE_OF_MOST = 0.4  # of what the machine can serve, so that whoever is left can take it over
LOG_LINES = 12


class Failed(Exception):
    """A step failed; the message says what."""


class DemoCluster(KnCluster):
    PREFIX = "dinomo-quickstart-"

    def partitions(self, slot):
        """As the ring in the pool has it: its own statistics are a second old. 0 while that cannot be told: it is being written."""
        with Node(self.control) as dpm:
            report = dpm.ask("/dinomo/cluster") or {"kns": []}
        return sum(kn["partitions"] for kn in report["kns"] if kn["kn_slot"] == slot)

    def show_logs(self):
        """The end of each log, to stderr."""
        for name, path in self.logs.items():
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.readlines()[-LOG_LINES:]
            if lines:
                print(f"  last lines of {name}.log:", *(f"    {line.rstrip()}" for line in lines), sep="\n", file=sys.stderr)

    def close(self):
        for number in (signal.SIGINT, signal.SIGTERM):  # what was made goes, however impatient one is
            signal.signal(number, signal.SIG_IGN)
        super().close()


class Demo:
    def __init__(self, options, cluster):
        self.options, self.c = options, cluster
        self.step, self.hint = 2, ""
        self.began_s = time.monotonic()
        self.bench = None

    def begin_step(self, what, hint):
        self.step, self.hint, self.what = self.step + 1, hint, what
        print(f"\n[{self.step}/{STEPS}] {what}", flush=True)

    def complain(self, why):
        print(f"\nquickstart: step {self.step} failed: {self.what}\n  what:  {why}\n  to do: {self.hint}", file=sys.stderr, flush=True)

    # The steps

    def start(self):
        c = self.c
        first = c.slots[:-1]
        self.begin_step("memory node", f"there must be room for the pool in {c.directory}; TMPDIR chooses another place")
        c.start_dpm()
        c.wait_until(lambda: os.path.exists(c.control), "dinomo-dpm that answers", WAIT_S)
        print(f"dinomo-dpm serves a pool of {c.pool_bytes} bytes (process {c.processes['dpm'].pid})")
        self.begin_step(f"compute nodes: {len(first)} of {len(c.slots)}, each with a port and a namespace of its own",
                        "read the logs below; another load on this machine may have been too much for it")
        for slot in first:
            c.start_slot(slot)
        c.wait_divided(first, WAIT_S)
        for slot in first:
            print(f"dinomo-kn serves {c.partitions(slot)} partitions at {c.address(slot)} (process {c.processes[f'kn{slot}'].pid})")

    def bench_command(self, *arguments):
        o = self.options
        return self.c.in_client([self.c.program("dinomo-bench"), "--server", self.c.servers(self.c.slots[:-1]), "--keys", str(o.keys),
                                 "--workload", "b", "--verify", "--timeout-ms", "30000", "--quiet", *arguments])

    def phase(self, *arguments):
        """A phase of dinomo-bench by itself; its report."""
        file = self.c.path("phase.json")
        done = subprocess.run(self.bench_command("--json", file, *arguments), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"dinomo-bench ended with {done.returncode}: {done.stdout}{done.stderr}")
        with open(file, encoding="utf-8") as report:
            return json.load(report)["phases"][-1]

    def load(self):
        o = self.options
        self.begin_step(f"load of {o.keys} keys of 1 KiB", "a wrong or lost answer is a defect: please report it with the output above")
        loaded = self.phase("--phase", "load")
        print(f"{loaded['ops']} keys in {loaded['seconds']:.1f} s")
        if not o.rate:
            most = self.phase("--phase", "run", "--warmup-seconds", "0.5", "--seconds", str(min(2, o.seconds)))
            o.rate = max(100, min(int(most["ops_per_s"] * SHARE_OF_MOST), RATE_MAX))
            print(f"this machine serves {amount(most['ops_per_s'])} operations/s of YCSB B at most; it is asked for {amount(o.rate)}/s")

    def start_bench(self):
        self.bench = subprocess.Popen(
            self.bench_command("--phase", "run", "--rate", str(self.options.rate), "--window", str(WINDOW), "--seconds", "86400",
                               "--warmup-seconds", "0", "--timeline", self.c.path("timeline.jsonl"), "--interval-ms", "250",
                               "--json", self.c.path("result.json")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def cli(self, *words):
        done = subprocess.run([self.c.program("dinomo-cli"), "cluster", "--control", self.c.control, *words], capture_output=True,
                              text=True, timeout=WAIT_S, check=False)
        if done.returncode != 0:
            raise Failed(f"dinomo-cli cluster {' '.join(words)}: {done.stderr.strip()}")

    def event(self, recorder, what, do, serving):
        """Something happens; it is over when the KNs `serving` share all partitions. Then a while of quiet."""
        happens = recorder.begin_event(what)
        do()
        self.c.wait_divided(serving, WAIT_S)
        recorder.end_event(happens)
        self.quiet()

    def quiet(self):
        deadline = time.monotonic() + self.options.seconds / 3
        while time.monotonic() < deadline:
            if self.bench.poll() is not None:
                raise Failed(f"dinomo-bench ended with {self.bench.returncode}: {self.bench.communicate()[0]}")
            time.sleep(0.05)

    def events(self, recorder):
        c = self.c
        new, drained, victim = c.slots[-1], c.slots[0], c.slots[1 % len(c.slots)]
        self.quiet()
        self.event(recorder, f"KN {new} joins", lambda: c.start_slot(new), c.slots)
        self.event(recorder, f"KN {drained} drained", lambda: self.cli("drain", str(drained)), c.but(drained))
        self.event(recorder, f"KN {drained} let in", lambda: self.cli("undrain", str(drained)), c.slots)
        self.event(recorder, f"KN {victim} kill -9", lambda: c.kill(f"kn{victim}", signal.SIGKILL), c.but(victim))
        self.event(recorder, f"KN {victim} back", lambda: c.start_slot(victim), c.slots)

    def end_bench(self):
        """Its report."""
        self.bench.terminate()
        said = self.bench.communicate(timeout=WAIT_S)[0]
        if self.bench.returncode != 0:
            raise Failed(f"dinomo-bench ended with {self.bench.returncode}: {said}")
        with open(self.c.path("result.json"), encoding="utf-8") as file:
            return json.load(file)["phases"][-1]

    def happen(self):
        self.begin_step("a KN joins, one is drained, one is killed, under load",
                        "a wrong or lost answer is a defect: please report it with the output above")
        print("requests/s of each KN (its partitions), and what the clients had answered, and after how long")
        recorder = Recorder(self.c)
        self.start_bench()
        stop = threading.Event()
        screen = Screen(recorder)
        watcher = threading.Thread(target=recorder.run, args=(stop, screen.show))
        watcher.start()
        try:
            self.events(recorder)
        finally:
            stop.set()
            watcher.join()
            screen.close()
        result = self.end_bench()
        recorder.write(self.options.json, self.options.rate, result)
        return recorder, result

    def draw(self):
        done = subprocess.run([sys.executable, os.path.join(HERE, "dinomo-plot.py"), self.options.json, self.options.png],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"no picture: {done.stderr.strip()}")

    def run(self):
        self.start()
        self.load()
        recorder, result = self.happen()
        self.begin_step("picture", "is there room? The figures are in " + self.options.json)
        self.draw()
        self.summary(recorder, result)

    def summary(self, recorder, result):
        counts = result["counts"]
        print(f"\nDone: {result['ops']} operations, {counts['verified']} values checked, {counts['wrong']} wrong, {counts['lost']} lost.")
        for line in recorder.table():
            print(line)
        print(f"\nPicture: {self.options.png}\nFigures: {self.options.json}")
        if self.options.keep:
            self.tell_how_to_go_on()
        else:
            print("Everything that was made has been removed; --keep leaves it running. Next: doc/cluster.md")

    def tell_how_to_go_on(self):
        c = self.c
        pids = " ".join(str(p.pid) for p in reversed(c.processes.values()))
        spaces = " ".join([c.client_ns, *(c.kn_namespace(s) for s in c.slots)])
        print(f"""
Still running. Try:
  alias cluster='{c.program('dinomo-cli')} cluster --control {c.control}'
  cluster status; cluster drain 0; cluster undrain 0; kill -9 {c.processes['kn0'].pid}
  alias d='ip netns exec {c.client_ns} {c.program('dinomo-cli')} --server {c.servers(c.slots)}'
  d put colour blue; d get colour; d ring
  RUNTIME_DIRECTORY={c.directory} {os.path.join(HERE, 'dinomo-stats.py')}
Logs: {c.directory}/*.log
To end it:
  kill {pids}; for n in {spaces}; do ip netns del $n; done; rm -rf {c.directory}""")


def arguments_of():
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("build")
    to.add_argument("--kns", type=int, required=True)
    to.add_argument("--seconds", type=int, default=10)
    to.add_argument("--keys", type=int, default=100_000)
    to.add_argument("--rate", type=int, default=0)
    to.add_argument("--keep", action="store_true")
    to.add_argument("--json", default="")
    to.add_argument("--png", default="")
    options = to.parse_args()
    options.json = os.path.abspath(options.json or os.path.join(options.build, "elastic_demo.json"))
    options.png = os.path.abspath(options.png or os.path.join(options.build, "elastic_demo.png"))
    return options


def main():
    options = arguments_of()
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    # Entries are the values and some more; the log keeps old ones until they are merged.
    pool_mib = options.keys * 5 // 1024 + 512 + 64 * options.kns
    with DemoCluster(options.build, options.kns, cache_bytes="32m", pool_bytes=f"{pool_mib}m", telemetry=True) as cluster:
        demo = Demo(options, cluster)
        try:
            demo.run()
        except (Failed, RuntimeError, OSError, subprocess.SubprocessError) as error:
            demo.complain(error)
            if isinstance(error, Failed):
                cluster.show_logs()  # who waits in vain has shown them
            return 1
        finally:
            if demo.bench is not None and demo.bench.poll() is None:
                demo.bench.kill()
                demo.bench.wait()
        if options.keep:
            cluster.close = lambda: None
    return 0


if __name__ == "__main__":
    sys.exit(main())
