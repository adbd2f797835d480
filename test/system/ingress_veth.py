#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of the ethdev ingress: ingress_echo on one end of a veth pair, the kernel on the other.

Usage: ingress_veth.py INGRESS_ECHO [af_packet|af_xdp|tap|bonding]
Needs root, for the namespace and the port. Exits 77 (skipped, with the reason) where it cannot run.
Everything it makes carries its process id and is removed at the end, whatever happens.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

SKIP = 77
CLONE_NEWNET = 0x40000000
OURS4, THEIRS4 = "10.77.0.2", "10.77.0.1"
OURS6, THEIRS6 = "fd77::2", "fd77::1"
PORT = 9000
START_SECONDS = 20


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIP)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Link:
    """A namespace for the client, and a veth pair into it. For bonding there are two, whose ends there are ports of a bridge,
    as a switch would have them."""

    def __init__(self, kind):
        self.kind = kind
        self.space = f"dn{os.getpid()}"
        count = 2 if kind == "bonding" else 1
        self.near = [f"dn{os.getpid()}a{n}" for n in range(count)]
        ends = [f"dn{os.getpid()}b{n}" for n in range(count)]
        self.ends = ends
        self.far = "bridge" if kind == "bonding" else ends[0]

    def __enter__(self):
        try:
            run("ip", "netns", "add", self.space)
        except RuntimeError as error:
            skip(f"cannot make a network namespace: {error}")
        try:
            for near, end in zip(self.near, self.ends):
                self.make_pair(near, end)
            if self.far not in self.ends:
                self.bridge()
            run("ip", "-n", self.space, "addr", "add", f"{THEIRS4}/24", "dev", self.far)
            run("ip", "-n", self.space, "-6", "addr", "add", f"{THEIRS6}/64", "dev", self.far, "nodad")
        except RuntimeError as error:
            self.__exit__()
            skip(f"cannot make the links: {error}")
        return self

    def make_pair(self, near, end):
        run("ip", "link", "add", near, "type", "veth", "peer", "name", end)
        run("ip", "link", "set", end, "netns", self.space)
        # The port has the near end to itself: no address there, or the kernel answers as well.
        with contextlib.suppress(OSError):
            with open(f"/proc/sys/net/ipv6/conf/{near}/disable_ipv6", "w", encoding="ascii") as f:
                f.write("1")
        run("ip", "link", "set", near, "up")
        run("ip", "-n", self.space, "link", "set", end, "up")

    def bridge(self):
        run("ip", "-n", self.space, "link", "add", self.far, "type", "bridge")
        for end in self.ends:
            run("ip", "-n", self.space, "link", "set", end, "master", self.far)
        # As a wire would have them: of a bonded port it is not known that this kernel feeds it.
        run("ip", "netns", "exec", self.space, "ethtool", "-K", self.far, "tx", "off")
        run("ip", "-n", self.space, "link", "set", self.far, "up")

    def __exit__(self, *_):
        for command in (("ip", "netns", "del", self.space), *(("ip", "link", "del", near) for near in self.near)):
            subprocess.run(command, capture_output=True)

    def port(self):
        """Of the appliance: what EAL and what the program are told."""
        if self.kind != "bonding":
            options = ",busy_budget=0" if self.kind == "af_xdp" else ",framecnt=4096"
            return ["--vdev", f"net_{self.kind}0,iface={self.near[0]}{options}"], []
        eal = []
        for n, near in enumerate(self.near):
            eal += ["--vdev", f"net_af_packet{n},iface={near},framecnt=4096"]
        slaves = "".join(f",slave=net_af_packet{n}" for n in range(len(self.near)))
        return [*eal, "--vdev", f"net_bonding0,mode=0{slaves}"], ["--eth", "net_bonding0"]


class Echo:
    """The program under test."""

    def __init__(self, program, link, lcores):
        eal, port = link.port()
        self.command = [
            program, "--no-huge", "--no-shconf", "-m", "128", "--no-pci", "--no-telemetry",
            "--log-level=error", f"--lcores={lcores}", *eal, "--", *port,
            "--ip", f"{OURS4}/24", "--ip6", f"{OURS6}/64", "--base-port", str(PORT),
            # The first buffers of the pool are out of the way: those at its end carry the traffic.
            "--hold", "3000",
        ]

    def __enter__(self):
        known = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support/lsan.supp")
        environment = dict(os.environ, LSAN_OPTIONS=f"suppressions={known}")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, env=environment,
                                        stderr=subprocess.STDOUT, text=True)
        self.output = []
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not select.select([self.process.stdout], [], [], 1)[0]:
                continue
            # Not by lines: what a buffer of ours holds already, select() does not see.
            text = os.read(self.process.stdout.fileno(), 4096).decode()
            self.output.append(text)
            if not text:
                break
            if "\nready" in "\n" + "".join(self.output):
                return self
        self.process.kill()
        self.process.wait()
        raise RuntimeError("ingress_echo does not start:\n" + "".join(self.output))

    def stop(self):
        """Ends it and returns the counters of all workers together, and the port's."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=START_SECONDS)
        self.output.append(rest)
        total = {}
        for line in rest.splitlines():
            words = line.split()
            if words[:1] not in (["worker"], ["port"]):
                continue
            first = 2 if words[0] == "worker" else 1
            for name, value in zip(words[first::2], words[first + 1::2]):
                total[name] = total.get(name, 0) + float(value)
        return total

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def enter_namespace(name):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{name}") as f:
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")


failures = []


def check(what, good, detail=""):
    print("ok  " if good else "FAIL", what, detail)
    if not good:
        failures.append(what)


def internet_checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(family):
    """One echo request by a raw socket, so that no ping program need be installed."""
    v4 = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if v4 else socket.IPPROTO_ICMPV6
    data = os.urandom(56)
    packet = struct.pack(">BBHHH", 8 if v4 else 128, 0, 0, os.getpid() & 0xFFFF, 1) + data
    if v4:
        packet = packet[:2] + struct.pack(">H", internet_checksum(packet)) + packet[4:]
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        s.settimeout(2)
        s.sendto(packet, (OURS4 if v4 else OURS6, 0))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                reply = s.recv(2048)
            except TimeoutError:
                return False
            reply = reply[20:] if v4 else reply
            if reply[0] == (0 if v4 else 129):
                return reply[8:] == data
    return False


def arp(device):
    """A request of our own making, apart from the kernel's neighbour table."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as s:
        s.bind((device, 0x0806))
        s.settimeout(2)
        mac = s.getsockname()[4]
        request = (b"\xff" * 6 + mac + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac +
                   socket.inet_aton(THEIRS4) + bytes(6) + socket.inet_aton(OURS4))
        s.send(request)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                frame = s.recv(2048)
            except TimeoutError:
                return False
            if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(OURS4):
                return frame[0:6] == mac and frame[6:12] == frame[22:28]
    return False


def echo(family, port, sizes, tries=3):
    """How many of `sizes` come back whole; the network may lose some, so each has a few tries."""
    good = 0
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((OURS4 if family == socket.AF_INET else OURS6, port))
        for size in sizes:
            data = os.urandom(size)
            for _ in range(tries):
                s.send(data)
                try:
                    if s.recv(65536) == data:
                        good += 1
                        break
                except (TimeoutError, ConnectionRefusedError):
                    pass
    return good


def burst(port, count):
    """Sends `count` at once, then takes what comes back."""
    got = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        s.settimeout(1)
        s.connect((OURS4, port))
        for i in range(count):
            s.send(struct.pack(">I", i) + bytes(60))
        with contextlib.suppress(TimeoutError):
            while len(got) < count:
                got.add(struct.unpack(">I", s.recv(100)[:4])[0])
    return len(got)


def hostile(device):
    """Frames that are wrong in every layer: nothing may come back, nothing may break."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((device, 0))
        mac = s.getsockname()[4]
        for kind in (0x0800, 0x86DD, 0x0806, 0x8100, 0x0001):
            for size in (0, 1, 19, 20, 27, 28, 39, 40, 47, 48, 100, 1400):
                s.send(b"\xff" * 6 + mac + struct.pack(">H", kind) + os.urandom(size))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    kind = sys.argv[2] if len(sys.argv) > 2 else "af_packet"
    if os.geteuid() != 0:
        skip("needs root, for a network namespace and the port")
    if shutil.which("ip") is None:
        skip("needs ip (apt install iproute2)")
    lcores = os.environ.get("LCORES", "")
    cpus = sorted(os.sched_getaffinity(0))
    if not lcores:  # two workers, so that datagrams are handed over, even on one CPU
        lcores = f"0@{cpus[0]},1@{cpus[-1]}"
    with Link(kind) as link:
        try:
            echo_server = Echo(program, link, lcores).__enter__()
        except RuntimeError as error:
            if kind == "af_xdp":
                skip(f"af_xdp does not work here: {error}")
            raise
        with contextlib.ExitStack() as stack:
            stack.push(echo_server.__exit__)
            home = os.open("/proc/self/ns/net", os.O_RDONLY)
            enter_namespace(link.space)
            large = [2000, 3001, 12000, 30000, 61528, 65507]
            # The kernel puts IPv4 fragments together in front of net_af_packet, and a bonded port does not know that it is one.
            sizes4 = list(range(1, 1473, 64)) + [1472] + ([] if kind == "bonding" else [1473] + large)
            sizes6 = list(range(1, 1453, 64)) + [1452, 1453] + large
            check("arp", arp(link.far))
            check("ping", ping(socket.AF_INET))
            check("ping -6", ping(socket.AF_INET6))
            for port in (PORT, PORT + 1):
                n = echo(socket.AF_INET, port, sizes4)
                check(f"echo IPv4 port {port}", n == len(sizes4), f"{n} of {len(sizes4)}")
                n = echo(socket.AF_INET6, port, sizes6)
                check(f"echo IPv6 port {port}", n == len(sizes6), f"{n} of {len(sizes6)}")
            n = burst(PORT + 1, 500)
            # How many of them the client's own socket loses is the kernel's business, not ours.
            check("burst of 500", n >= 50, f"{n} came back")
            hostile(link.far)
            check("still alive after hostile frames", echo(socket.AF_INET, PORT, [100]) == 1)
            time.sleep(0.1)
            check("wakes from sleep", echo(socket.AF_INET, PORT + 1, [100]) == 1)
            ctypes.CDLL(None).setns(home, CLONE_NEWNET)
            counters = echo_server.stop()
            check("clean exit", echo_server.process.returncode == 0,
                  "" if echo_server.process.returncode == 0 else "".join(echo_server.output))
            check("answered arp, ping, neighbours",
                  counters.get("arp", 0) >= 1 and counters.get("ping", 0) >= 2 and
                  counters.get("neighbour", 0) >= 1)
            check("hand-over used", counters.get("handed_in", 0) >= 50)
            check("nothing lost inside", counters.get("in") == counters.get("out") and
                  counters.get("full") == 0 and counters.get("no_buffer") == 0, str(counters))
            check("nothing lost between the port and the kernel",
                  counters.get("errors_out") == 0 and counters.get("port_no_buffer") == 0,
                  str(counters))
            check("hostile frames dropped", counters.get("malformed", 0) > 0)
            check("slept", counters.get("blocks", 0) > 0)
    print(f"{len(failures)} failed" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
