#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A bad network: datagrams between clients here and a server in another network namespace.

    relay.py SERVER PORT PORTS UPSTREAM_NAMESPACE SEED PERMILLE_DROP PERMILLE_DUPLICATE PERMILLE_REORDER
             PERMILLE_CORRUPT

Has the server's address itself in this namespace; sends what comes there to the true server, and the
answers back, each with the faults of the network. Corruption flips bits of what UDP's checksum
protects and leaves the checksum, as a wire would; so everything is sent through raw sockets, with
checksums made here. Ends at SIGTERM and prints what it did as one JSON line.
"""
import ctypes
import heapq
import itertools
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000


def enter(namespace):
    with open(f"/run/netns/{namespace}", "rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF) or 0xFFFF


class Relay:
    def __init__(self, server, base, ports, namespace, seed, faults):
        self.family = socket.AF_INET6 if ":" in server else socket.AF_INET
        self.server, self.random, self.faults = server, random.Random(seed), faults
        self.counts = dict.fromkeys(("forwarded", "dropped", "duplicated", "reordered", "corrupted"), 0)
        self.late, self.order = [], itertools.count()
        self.poll = select.epoll()
        self.down, self.up = {}, {}  # descriptor -> (socket, port); descriptor -> (socket, client, port)
        self.raw_down = socket.socket(self.family, socket.SOCK_RAW, socket.IPPROTO_UDP)
        for port in range(base, base + ports):
            s = socket.socket(self.family, socket.SOCK_DGRAM)
            s.bind((server, port))
            self.add(s, self.down, port)
        enter(namespace)  # sockets stay where they were made
        self.raw_up = socket.socket(self.family, socket.SOCK_RAW, socket.IPPROTO_UDP)
        for raw in (self.raw_down, self.raw_up):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # copies of all, never read
        self.of_client = {}

    def add(self, s, table, *what):
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        table[s.fileno()] = (s, *what)
        self.poll.register(s.fileno(), select.EPOLLIN)

    def upstream(self, client, port):
        """A socket of its own for each client and port of the server: its address is part of the cookie,
        so all of a client's have the same port."""
        if (client, port) not in self.of_client:
            s = socket.socket(self.family, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::" if self.family == socket.AF_INET6 else "0.0.0.0", client[1]))
            s.connect((self.server, port))
            self.add(s, self.up, client, port)
            self.of_client[client, port] = s.getsockname()
        return self.of_client[client, port]

    def send(self, raw, source, target, payload):
        """Through the faults."""
        def chance(what):
            hit = self.random.randrange(1000) < self.faults[what]
            self.counts[what] += hit
            return hit
        if chance("dropped"):
            return
        datagram = bytearray(struct.pack(">HHHH", source[1], target[1], 8 + len(payload), 0) + payload)
        addresses = b"".join(socket.inet_pton(self.family, a[0]) for a in (source, target))
        pseudo = addresses + struct.pack(">HH" if self.family == socket.AF_INET else ">IxxxB",
                                         *((17, len(datagram)) if self.family == socket.AF_INET
                                           else (len(datagram), 17)))
        datagram[6:8] = struct.pack(">H", checksum(pseudo + bytes(datagram)))
        if chance("corrupted"):
            datagram[self.random.randrange(8, len(datagram))] ^= 1 << self.random.randrange(8)
        for copy in range(2 if chance("duplicated") else 1):
            late = copy == 1 or chance("reordered")
            delay = self.random.uniform(0.001, 0.030) if late else 0
            heapq.heappush(self.late, (time.monotonic() + delay, next(self.order), raw, bytes(datagram),
                                       target[0]))

    def send_due(self):
        while self.late and self.late[0][0] <= time.monotonic():
            _, _, raw, datagram, to = heapq.heappop(self.late)
            try:
                raw.sendto(datagram, (to, 0))
                self.counts["forwarded"] += 1
            except OSError:
                self.counts["dropped"] += 1

    def turn(self):
        wait = min(0.05, max(0, self.late[0][0] - time.monotonic())) if self.late else 0.05
        for descriptor, _ in self.poll.poll(wait):
            try:
                if descriptor in self.down:
                    s, port = self.down[descriptor]
                    payload, client = s.recvfrom(65536)
                    source = self.upstream(client[:2], port)
                    self.send(self.raw_up, source, (self.server, port), payload)
                else:
                    s, client, port = self.up[descriptor]
                    self.send(self.raw_down, (self.server, port), client, s.recv(65536))
            except OSError:
                pass  # nobody listens on the other side for now
        self.send_due()


def main():
    server, base, ports, namespace, seed = sys.argv[1:6]
    faults = dict(zip(("dropped", "duplicated", "reordered", "corrupted"), map(int, sys.argv[6:10])))
    relay = Relay(server, int(base), int(ports), namespace, int(seed), faults)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    print("ready", flush=True)
    while not stop:
        relay.turn()
    print(json.dumps(relay.counts), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
