#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Dinomo over a veth pair beside memcached and redis, in one run and in turns.

Usage: peers.py BUILD [--seconds N] [--rounds N] [--json FILE]
Every server runs on CPU 1, every client on CPU 0, over veth pairs between the same two namespaces.
Server CPU is from the scheduler (schedstat) over the middle of each run. A KN polls, so beside it
stands its own count: the time of turns in which it found work, per request.
Needs root, memcached and redis-server.
"""
import json
import os
import shutil
import subprocess
import time

from measure import (CLIENT_CPU, SERVER_CPU, PinnedCluster, Results, bench_result, on_cpu, parse, parser,
                     run_client, skip)
from cluster import need_root

PEER_IP, PEER_CLIENT_IP = "10.78.0.2", "10.78.0.1"
ECHO_IP, ECHO_CLIENT_IP = "10.79.0.2", "10.79.0.1"
PEER_PORTS = {"memcached": 11999, "redis": 6999}

# name, what dinomo-bench is told
DINOMO_POINTS = (
    ("get, 1/datagram", ["--read", "1", "--pack", "1", "--window", "64"]),
    ("get, packed", ["--read", "1", "--pack", "16", "--window", "256"]),
    ("95/5, 1/datagram", ["--workload", "95/5", "--pack", "1", "--window", "64"]),
    ("95/5, packed", ["--workload", "95/5", "--pack", "16", "--window", "256"]),
    ("get, depth 1", ["--read", "1", "--pack", "1", "--window", "1"]),
)


def put_share(keys_per_request):
    """Share of requests that are a put, for 5 % of the operations to be one."""
    return 0.05 * keys_per_request / (0.95 + 0.05 * keys_per_request)


# name, what peer_load is told
PEER_POINTS = (
    ("get, depth 1", ["--connections", "1", "--depth", "1"]),
    ("get, pipelined", ["--connections", "2", "--depth", "32"]),
    ("get, 64 keys", ["--connections", "2", "--depth", "1", "--keys-per-request", "64"]),
    ("get, 256 keys", ["--connections", "2", "--depth", "1", "--keys-per-request", "256"]),
    ("95/5, 64 keys", ["--connections", "2", "--depth", "8", "--keys-per-request", "64",
                       "--put-fraction", f"{put_share(64):.4f}"]),
)


class VethCluster(PinnedCluster):
    """Further veth pairs between the two namespaces, for the peers and the echo."""

    def add_pair(self, name, server_ip, client_ip):
        near, far = f"{name}k{os.getpid() % 1_000_000}", f"{name}c{os.getpid() % 1_000_000}"
        self._ip("link", "add", near, "netns", self.kn_ns, "type", "veth", "peer", "name", far, "netns",
                 self.client_ns)
        if server_ip:
            self._ip("-n", self.kn_ns, "addr", "add", f"{server_ip}/24", "dev", near)
        self._ip("-n", self.client_ns, "addr", "add", f"{client_ip}/24", "dev", far)
        self._ip("-n", self.kn_ns, "link", "set", near, "up")
        self._ip("-n", self.client_ns, "link", "set", far, "up")
        return near

    def in_server(self, command):
        return ["ip", "netns", "exec", self.kn_ns, *on_cpu(SERVER_CPU, command)]

    def start_peers(self):
        self.add_pair("dp", PEER_IP, PEER_CLIENT_IP)
        self._start("memcached", self.in_server(
            ["memcached", "-u", "root", "-l", PEER_IP, "-p", str(PEER_PORTS["memcached"]), "-t", "1",
             "-m", "1024"]))
        self._start("redis", self.in_server(
            ["redis-server", "--bind", PEER_IP, "--port", str(PEER_PORTS["redis"]), "--save", "",
             "--appendonly", "no", "--protected-mode", "no", "--dir", self.directory]))
        time.sleep(0.5)

    def peer_load(self, kind, options, value_bytes, *told):
        return self.in_client([os.path.join(self.build, "test", "bench", "peer_load"), kind, "--address",
                               PEER_IP, "--port", str(PEER_PORTS[kind]), "--keys", str(options.keys),
                               "--value-bytes", str(value_bytes), *told])

    def bench(self, options, value_bytes, *told):
        # Values of each size have keys of their own: of another length.
        return self.in_client([
            self.program("dinomo-bench"), "--server", self.SERVER_IP, "-q", "--json", "-", "--keys",
            str(options.keys), "--value-bytes", str(value_bytes), "--key-bytes",
            "8" if value_bytes < 512 else "9", "--distribution", "uniform", *told])


def wanted(options, point):
    return options.only in point


def measure_dinomo(cluster, kind, options, value_bytes, results, points=DINOMO_POINTS):
    for name, told in points:
        point = f"dinomo {kind}, {name}, {value_bytes} B"
        if not wanted(options, point):
            continue
        command = cluster.bench(options, value_bytes, "--phase", "run", "--seconds",
                                str(options.seconds), "--warmup-seconds", "0", *told)
        if value_bytes >= 512 and "--window" in told and "256" in told:
            command += ["--window", "64"]  # replies of the size of a frame: the last one counts
        out, (kn, dpm) = run_client(command, [cluster.pids("kn"), cluster.pids("dpm")])
        sample = bench_result(out)
        sample["server_ns_per_op"] = kn / sample["operations"]
        sample["dpm_ns_per_op"] = dpm / sample["operations"]
        results.add(point, sample)


def measure_peer(cluster, kind, options, value_bytes, results):
    for name, told in PEER_POINTS:
        point = f"{kind}, {name}, {value_bytes} B"
        if not wanted(options, point):
            continue
        command = cluster.peer_load(kind, options, value_bytes, "--seconds", str(options.seconds), *told)
        out, (server,) = run_client(command, [cluster.pids(kind)])
        sample = json.loads(out)
        sample["server_ns_per_op"] = server / sample["operations"]
        results.add(point, sample)


def measure_echo(cluster, kind, port, options, value_bytes, results):
    """A request and a reply of about the size of a GET's reply through ingress_echo."""
    bytes_ = value_bytes + 48
    for window in (64, 1):
        point = f"echo {kind}, {'depth 1' if window == 1 else '1/datagram'}, {bytes_} B"
        if not wanted(options, point):
            continue
        vdev = {"af_packet": f"net_af_packet0,iface={port},framecnt=4096",
                "af_xdp": f"net_af_xdp0,iface={port},busy_budget=0"}[kind]
        cluster._unlink("echo.log")
        cluster._start("echo", ["ip", "netns", "exec", cluster.kn_ns, cluster.tool("ingress_echo"),
                                "--no-shconf", "--no-huge", "-m", "128", "--no-pci", "--no-telemetry",
                                "--lcores", f"0@{SERVER_CPU}", "--vdev", vdev, "--", "--ip",
                                f"{ECHO_IP}/24"])
        log = cluster.path("echo.log")
        cluster.wait_until(lambda: "ready" in open(log, encoding="utf-8").read(), "echo server")
        command = cluster.in_client([os.path.join(cluster.build, "test", "bench", "udp_load"),
                                     "--address", ECHO_IP, "--bytes", str(bytes_), "--window",
                                     str(window), "--seconds", str(options.seconds)])
        out, (server,) = run_client(command, [cluster.pids("echo")])
        cluster.kill("echo", 15)
        sample = json.loads(out)
        sample["server_ns_per_op"] = server / sample["operations"]
        with open(log, encoding="utf-8") as file:
            words = next(line for line in file if line.startswith("worker 0 ")).split()
        sample["busy_ns_per_op"] = float(words[words.index("ns_per_datagram") + 1])
        results.add(point, sample)
        time.sleep(0.4)  # the kernel lets go of an af_xdp port a little later


def measure(clusters, echo_ports, options, results):
    first = next(iter(clusters.values()))
    for value_bytes in options.value_sizes:
        for cluster in clusters.values():
            run_client(cluster.bench(options, value_bytes, "--phase", "load"))
        for kind in PEER_PORTS:
            run_client(first.peer_load(kind, options, value_bytes, "--load"))
        for round_number in range(options.rounds):
            for kind, cluster in clusters.items():
                measure_dinomo(cluster, kind, options, value_bytes, results)
                measure_echo(cluster, kind, echo_ports[kind], options, value_bytes, results)
            for kind in PEER_PORTS:
                measure_peer(first, kind, options, value_bytes, results)
            print(f"{value_bytes} B: round {round_number + 1} of {options.rounds} done", flush=True)


def measure_shared_cpu(options, results):
    """Three lcores on one CPU, at depth 32: the control lcore and two workers."""
    lcores = ",".join(f"{lcore}@{SERVER_CPU}" for lcore in range(3))
    with VethCluster(options.build, "s", vdev="af_xdp", lcores=lcores) as cluster:
        cluster.serve()
        value_bytes = options.value_sizes[0]
        run_client(cluster.bench(options, value_bytes, "--phase", "load"))
        points = (("3 lcores on 1 CPU, depth 32", ["--read", "1", "--pack", "1", "--window", "32"]),)
        for _ in range(options.rounds):
            measure_dinomo(cluster, "af_xdp", options, value_bytes, results, points)


def main():
    options = parse(parser(__doc__.splitlines()[0]))
    need_root()
    for program, package in (("memcached", "memcached"), ("redis-server", "redis-server"),
                             ("taskset", "util-linux")):
        if shutil.which(program) is None:
            skip(f"needs {program} (apt install {package})")
    results = Results()
    with VethCluster(options.build, "x", vdev="af_xdp") as xdp, \
            VethCluster(options.build, "p", vdev="af_packet") as packet:
        clusters = {"af_xdp": xdp, "af_packet": packet}
        echo_ports = {}
        for kind, cluster in clusters.items():
            cluster.serve()
            echo_ports[kind] = cluster.add_pair("de" + kind[3], None, ECHO_CLIENT_IP)
        xdp.start_peers()
        measure(clusters, echo_ports, options, results)
    measure_shared_cpu(options, results)
    results.show("Dinomo, memcached and redis over veth", options)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd)}: {error.stderr}")
        raise
