# SPDX-License-Identifier: BSD-3-Clause
"""What the measuring scripts share: servers pinned to one CPU, CPU time from schedstat, rounds of
points in turns, medians with their spread, a table and a JSON file."""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from cluster import Cluster, skip  # noqa: E402

SERVER_CPU, CLIENT_CPU = "1", "0"


def parser(what, seconds=2.0, rounds=5, keys=100_000):
    p = argparse.ArgumentParser(description=what)
    p.add_argument("build", help="build directory")
    p.add_argument("--seconds", type=float, default=seconds, help="of a point in a round")
    p.add_argument("--rounds", type=int, default=rounds)
    p.add_argument("--keys", type=int, default=keys)
    p.add_argument("--values", default="64,1024", help="sizes, with commas between")
    p.add_argument("--only", default="", help="points with this in their name")
    p.add_argument("--json", default="", help="file to write the results to")
    p.add_argument("--smoke", action="store_true", help="smallest size, to see that it works")
    return p


def parse(p):
    options = p.parse_args()
    if options.smoke:
        options.seconds, options.rounds, options.keys = 0.3, 1, 2000
    if (os.cpu_count() or 1) < 2:
        skip("needs two CPUs, one for the server and one for the client")
    options.value_sizes = [int(v) for v in options.values.split(",")]
    return options


def on_cpu(cpu, command):
    return ["taskset", "-c", cpu, *command]


def cpu_ns(pid):
    """CPU time of all threads of a process."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class PinnedCluster(Cluster):
    """DPM and KN on the server's CPU. `name` keeps several of them apart."""

    def __init__(self, build, name, **options):
        super().__init__(build, **{"lcores": f"0@{SERVER_CPU},1@{SERVER_CPU}", "pool_bytes": "2g",
                                   **options})
        tag = f"{os.getpid() % 1_000_000}{name}"
        self.kn_ns, self.client_ns = f"dnk{tag}", f"dnc{tag}"
        self.kn_if, self.client_if = f"dk{tag}", f"dc{tag}"

    def dpm_command(self, *extra):
        return on_cpu(SERVER_CPU, super().dpm_command(*extra))

    def serve(self, *kn_options):
        self.start_dpm()
        self.wait_until(lambda: os.path.exists(self.path("dpm.sock")), "listening DPM")
        self.start_kn(*kn_options)
        self.wait_serving()

    def pids(self, *names):
        return [self.processes[name].pid for name in names]


def run_client(command, server_pids=()):
    """Runs a client on its CPU; returns its output, and for each list of processes in `server_pids`
    the CPU time that they took meanwhile."""
    before = [sum(cpu_ns(pid) for pid in pids) for pids in server_pids]
    done = subprocess.run(on_cpu(CLIENT_CPU, command), capture_output=True, text=True, timeout=600,
                          check=False)
    after = [sum(cpu_ns(pid) for pid in pids) for pids in server_pids]
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n"
                           f"{done.stderr}")
    return done.stdout, [a - b for a, b in zip(after, before)]


def bench_result(text):
    """The figures of a dinomo-bench run phase that the tables show."""
    phase = next(p for p in json.loads(text)["phases"] if p["phase"] == "run")
    summary = phase.get("kn", {}).get("summary", {})
    latencies = [kind["latency"] for kind in phase["kinds"].values()]
    main = max(latencies, key=lambda h: h["count"])
    return {"operations": phase["ops"], "ops_per_s": phase["ops_per_s"], "p50_us": main["p50_us"], "p99_us": main["p99_us"],
            "busy_ns_per_op": summary.get("busy_ns_per_request", 0.0),
            "value_hits": summary.get("share", {}).get("value_hit", 0.0),
            "requests_per_datagram": phase["requests_per_datagram"]}


class Results:
    """Samples by point, in the order of their first appearance."""

    COLUMNS = (("ops_per_s", "ops/s", "{:.0f}"), ("p50_us", "p50 us", "{:.1f}"),
               ("p99_us", "p99 us", "{:.1f}"), ("server_ns_per_op", "server ns/op", "{:.0f}"),
               ("busy_ns_per_op", "busy ns/op", "{:.0f}"), ("dpm_ns_per_op", "dpm ns/op", "{:.0f}"))

    def __init__(self):
        self.samples = {}

    def add(self, point, sample):
        self.samples.setdefault(point, []).append(sample)

    def summary(self):
        out = []
        for point, samples in self.samples.items():
            row = {"point": point, "rounds": len(samples)}
            for name in sorted({n for s in samples for n in s}):
                values = [s[name] for s in samples if name in s]
                row[name] = statistics.median(values)
                row[name + "_range"] = [min(values), max(values)]
            out.append(row)
        return out

    def show(self, what, options):
        rows = self.summary()
        wide = max([len(r["point"]) for r in rows] + [5])
        each = f" of {options.seconds} s" if options.seconds else ""
        print(f"\n{what}: median (least - most) of {options.rounds} rounds{each}\n")
        print("point".ljust(wide), *(title.rjust(13) for _, title, _ in self.COLUMNS), "  ops/s range")
        for r in rows:
            cells = [form.format(r[name]).rjust(13) if name in r else "-".rjust(13)
                     for name, _, form in self.COLUMNS]
            least, most = r.get("ops_per_s_range", [0, 0])
            print(r["point"].ljust(wide), *cells, f"  {least:.0f} - {most:.0f}", flush=True)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"what": what, "seconds": options.seconds, "rounds": options.rounds,
                           "keys": options.keys, "points": rows}, file, indent=2)
                file.write("\n")
