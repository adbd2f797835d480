#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Dinomo over net_memif: dinomo-kn on one CPU, dinomo-bench as a DPDK program on the other.

Usage: memif.py BUILD [--seconds N] [--rounds N] [--json FILE]
No kernel is between the two, so this is what the KN does when the port costs next to nothing. Beside
it, in the same rounds, the bare echo of ingress_bench on the same kind of port.
"""
import json
import os
import subprocess

from measure import CLIENT_CPU, SERVER_CPU, PinnedCluster, Results, bench_result, parse, parser, run_client

EAL = ["--no-shconf", "--no-huge", "--no-pci", "--no-telemetry"]


class MemifCluster(PinnedCluster):
    def _make_network(self):
        pass  # the port is a socket and shared memory

    def memif(self, role):
        return (f"net_memif0,role={role},id=0,socket-abstract=no,bsize=2048,rsize=11,"
                f"socket={self.path('memif.sock')}")

    def kn_command(self, *extra):
        return [self.program("dinomo-kn"), *EAL, "-m", str(self.memory_mb), "--lcores", self.lcores,
                "--vdev", self.memif("server"), "--", "--dpm", self.path("dpm.sock"), "--ip",
                f"{self.SERVER_IP}/24", "--stats-file", self.path("kn.json"), *extra]

    def bench_command(self, *own):
        return [self.program("dinomo-bench"), "--server", self.SERVER_IP, "--dpdk", "--ip",
                f"{self.CLIENT_IP}/24", "-q", "--json", "-", *own, "--", *EAL, "-m", "256",
                "--lcores", f"0@{CLIENT_CPU}", "--vdev", self.memif("client")]


# name, what dinomo-bench is told
POINTS = (
    ("get, 1/datagram", ["--read", "1", "--pack", "1", "--window", "64"]),
    ("get, packed", ["--read", "1", "--pack", "16", "--window", "2048"]),
    ("95/5, 1/datagram", ["--workload", "95/5", "--pack", "1", "--window", "64"]),
    ("put, 1/datagram", ["--update", "1", "--pack", "1", "--window", "64"]),
    ("put, packed", ["--update", "1", "--pack", "16", "--window", "256"]),
    ("get, depth 1", ["--read", "1", "--pack", "1", "--window", "1"]),
)


def data(options, value_bytes):
    # Values of each size have keys of their own: of another length.
    return ["--keys", str(options.keys), "--value-bytes", str(value_bytes), "--key-bytes",
            "8" if value_bytes < 512 else "9", "--distribution", "uniform"]


def json_part(text):
    """EAL may print before it."""
    return text[text.index("{"):]


def measure(cluster, options, results):
    sizes = options.value_sizes
    for value_bytes in sizes:
        run_client(cluster.bench_command("--phase", "load", *data(options, value_bytes)))
    for round_number in range(options.rounds):
        for value_bytes in sizes:
            for name, told in POINTS:
                point = f"{name}, {value_bytes} B"
                if options.only not in point:
                    continue
                command = cluster.bench_command(
                    "--phase", "run", "--seconds", str(options.seconds), "--warmup-seconds", "0",
                    *data(options, value_bytes), *told)
                out, (dpm,) = run_client(command, [cluster.pids("dpm")])
                sample = bench_result(json_part(out))
                sample["dpm_ns_per_op"] = dpm / sample["operations"]
                results.add(point, sample)
        echo(cluster, options, results)
        print(f"round {round_number + 1} of {options.rounds} done", flush=True)


def echo(cluster, options, results):
    file = cluster.path("echo.json")
    packets = int(max(options.seconds, 0.1) * 500_000)
    subprocess.run([os.path.join(cluster.build, "test", "bench", "ingress_bench"), "--lcores",
                    f"0@{CLIENT_CPU},1@{SERVER_CPU}", "--rounds", "1", "--packets", str(packets),
                    "--json", file], check=True, capture_output=True)
    with open(file, encoding="utf-8") as f:
        for r in json.load(f):
            # The bare echo touches no checksum; the ingress computes them, as in the KN.
            if (r["echo"] == "bare") != (r["checksums"] == "off"):
                continue
            results.add(f"echo, {r['echo']}, {r['payload_bytes']} B",
                        {"ops_per_s": r["packets_per_second"],
                         "busy_ns_per_op": r["server_ns_per_packet"]})


def main():
    options = parse(parser(__doc__.splitlines()[0]))
    results = Results()
    with MemifCluster(options.build, "m") as cluster:
        cluster.serve()
        measure(cluster, options, results)
    results.show("Dinomo over memif", options)


if __name__ == "__main__":
    main()
