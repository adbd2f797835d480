#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of doc/protocol.md: a client written from that text alone (wire_client.py) against a real KN
with two workers. Every operation, every rule for clients that can be seen from outside, and a bad network.

Usage: wire_test.py BUILD [4|6]
       wire_test.py --inside SERVER      in the client's network, by the first form
"""
import json
import os
import random
import re
import subprocess
import sys
import time

import wire_client as w
from cluster import Checks, Cluster, need_root
from xxh3 import xxh3_64

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOCOL = os.path.join(HERE, "..", "..", "doc", "protocol.md")


def check_hash(check):
    """The text's own examples of the routing hash."""
    with open(PROTOCOL, encoding="utf-8") as file:
        rows = re.findall(r"^\| `([^`]*)` \| `([0-9a-f]{16})` \| (\d+) \| (\d+) \|$", file.read(), re.M)
    check("the text has examples of the routing hash", len(rows) >= 4, str(len(rows)))
    for key, digits, partition, worker in rows:
        h = xxh3_64((key[0] * 250 if key.endswith("...") else key).encode())
        check.equal(f"hash, partition, worker of 4 of {key}", (f"{h:016x}", h >> 52, (h & 0xFFFFFFFF) * 4 >> 32),
                    (digits, int(partition), int(worker)))


def check_hello_and_ring(check, client):
    hello = client.say_hello(client.seed)
    check("HELLO gives session, cookie and limits", hello.session and hello.cookie and hello.window > 0
          and (hello.key_bytes_max, hello.value_bytes_max) == (250, 61440), str(hello))
    again = client.say_hello(client.seed)
    check.equal("a second HELLO with session and token goes on with the session", again.session, hello.session)
    client.fetch_ring()
    check.equal("partitions", len(client.owner), w.PARTITIONS)
    check("KN records", len(client.kns) == 1 and client.seed.workers == 2,
          str({slot: (kn.address, kn.port, kn.workers) for slot, kn in client.kns.items()}))


def check_storing(check, client):
    stored = client.put(b"colour", b"blue", item_flags=7)
    check("PUT has a version", stored.status == w.OK and w.version_of(stored) != 0)
    got = client.get(b"colour")
    check.equal("GET with item", (got.status, got.value, w.item_of(got)),
                (w.OK, b"blue", (w.version_of(stored), 0, 7)))
    plain = client.call(w.Request(w.GET, b"colour"))[0]
    check.equal("GET without", (plain.value, plain.extras), (b"blue", b""))
    check.equal("ADD of what is there", client.put(b"colour", b"x", opcode=w.ADD).status, w.EXISTS)
    check.equal("REPLACE", client.put(b"colour", b"red", opcode=w.REPLACE).status, w.OK)
    check.equal("APPEND", client.put(b"colour", b"dish", opcode=w.APPEND).status, w.OK)
    latest = client.put(b"colour", b"in", opcode=w.PREPEND)
    check.equal("value after all", client.get(b"colour").value, b"inreddish")
    check.equal("CAS with an older version", client.cas(b"colour", w.version_of(stored), b"x").status, w.EXISTS)
    check.equal("CAS with its own", client.cas(b"colour", w.version_of(latest), b"green").status, w.OK)
    check.equal("DELETE", client.delete(b"colour").status, w.OK)
    for name, answer, status in (
            ("DELETE", client.delete(b"colour"), w.NOT_FOUND), ("GET", client.get(b"colour"), w.NOT_FOUND),
            ("REPLACE", client.put(b"colour", b"x", opcode=w.REPLACE), w.NOT_STORED),
            ("APPEND", client.put(b"colour", b"x", opcode=w.APPEND), w.NOT_STORED),
            ("PREPEND", client.put(b"colour", b"x", opcode=w.PREPEND), w.NOT_STORED),
            ("CAS", client.cas(b"colour", 1, b"x"), w.NOT_FOUND),
            ("INCR", client.count(w.INCR, b"colour", 1), w.NOT_FOUND),
            ("TOUCH", client.touch(w.TOUCH, b"colour", 1000), w.NOT_FOUND),
            ("GET_AND_TOUCH", client.touch(w.GET_AND_TOUCH, b"colour", 1000), w.NOT_FOUND)):
        check.equal(f"{name} of what is not there", (answer.status, answer.value, answer.extras),
                    (status, b"", b""))
    check.equal("ADD", client.put(b"colour", b"new", opcode=w.ADD).status, w.OK)


def check_counting(check, client):
    client.delete(b"count")
    made = client.count(w.INCR, b"count", 5, create=40)
    check.equal("INCR that makes the item", (made.status, made.value), (w.OK, b"40"))
    check("and has a version", w.version_of(made) != 0)
    for opcode, delta, expected in ((w.INCR, 2, b"42"), (w.DECR, 1, b"41"), (w.DECR, 50, b"0"),
                                    (w.INCR, 2**64 - 1, b"18446744073709551615"), (w.INCR, 2, b"1")):
        check.equal(f"counting by {delta}", client.count(opcode, b"count", delta).value, expected)
    check.equal("and read as text", client.get(b"count").value, b"1")
    client.put(b"text", b"12a")
    check.equal("INCR of no number", client.count(w.INCR, b"text", 1).status, w.NOT_NUMBER)


def check_expiry(check, client):
    client.put(b"short", b"v", ttl_ms=600_000)
    now_ms = client.say_hello(client.seed).server_unix_ms
    left_ms = w.item_of(client.get(b"short"))[1] - now_ms
    check("expiry is the server's clock and the ttl", 500_000 < left_ms <= 601_000, str(left_ms))
    check.equal("TOUCH", client.touch(w.TOUCH, b"short", 0).status, w.OK)
    check.equal("for ever", w.item_of(client.get(b"short"))[1], 0)
    check.equal("GET_AND_TOUCH", client.touch(w.GET_AND_TOUCH, b"short", 1).value, b"v")
    deadline = time.monotonic() + 30
    while client.get(b"short").status == w.OK and time.monotonic() < deadline:
        time.sleep(0.01)
    check.equal("expired", client.get(b"short").status, w.NOT_FOUND)
    check.equal("ADD in its place", client.put(b"short", b"w", opcode=w.ADD).status, w.OK)


def check_sizes(check, client):
    for key_bytes, value_bytes in ((1, 0), (250, 1), (17, 1400), (129, 1500), (241, 61_440)):
        key, value = random.randbytes(key_bytes), random.randbytes(value_bytes)
        client.put(key, value)
        check(f"key of {key_bytes} and value of {value_bytes} bytes", client.get(key).value == value)
    full = random.randbytes(61_440)
    client.put(b"full", full)
    check.equal("APPEND beyond the limit", client.put(b"full", b"x", opcode=w.APPEND).status, w.TOO_LARGE)
    check("and nothing changed", client.get(b"full").value == full)


def check_packing(check, client):
    keys = [f"pack{i}".encode() for i in range(200)]
    sent = client.sent
    check.equal("mixed batch", {a.status for a in client.call(*(w.Request(w.PUT, k, k) for k in keys))}, {w.OK})
    got = client.call(*(w.Request(w.GET, k) for k in keys))
    check("multi-get", [a.value for a in got] == keys)
    check("they travelled together", client.sent - sent < 40, f"{client.sent - sent} datagrams")


def raw(client, data, sequence, worker=0):
    return client.exchange(client.seed, worker, data, sequence)


def check_headers(check, client):
    cookie = client.seed.hello.cookie
    get = w.message(w.Request(w.GET, b"colour"), 1 << 55)
    answer = raw(client, w.datagram([get], client.session, cookie, 1, stamp=0xABCD1234), 1 << 55)
    _, version, _, _, _, session, _, ring_version, stamp = answer.header
    check.equal("stamp, session, version of the reply", (stamp, session, version),
                (0xABCD1234, client.session, w.VERSION))
    check.equal("ring version of the reply", ring_version, client.ring_version)
    key = next(k for k in (f"worker{i}".encode() for i in range(99)) if client.route(k)[1] == 1)
    client.put(key, b"v")
    got = raw(client, w.datagram([w.message(w.Request(w.GET, key), 1 << 55)], client.session, cookie), 1 << 55)
    check.equal("the wrong worker names the right one", (got.status, w.HINT_EXTRAS.unpack(got.extras)[1:]),
                (w.WRONG_OWNER, (client.seed.kn_slot, 1)))


def check_refusals(check, client):
    cookie, sequence = client.seed.hello.cookie, (1 << 55) + 1

    def ask(request, session=client.session, with_cookie=cookie):
        return raw(client, w.datagram([w.message(request, sequence)], session, with_cookie), sequence)

    check.equal("a wrong cookie", ask(w.Request(w.GET, b"colour"), with_cookie=cookie ^ 1).status, w.NO_SESSION)
    check.equal("no session", ask(w.Request(w.GET, b"colour"), 0, 0).status, w.NO_SESSION)
    check.equal("PING needs none", ask(w.Request(w.PING), 0, 0).status, w.OK)
    check.equal("an opcode of the future", ask(w.Request(99, b"colour")).status, w.UNSUPPORTED)
    check.equal("no key", ask(w.Request(w.GET)).status, w.BAD_REQUEST)
    check.equal("wrong extras", ask(w.Request(w.GET, b"colour", extras=bytes(8))).status, w.BAD_REQUEST)


def counters(client):
    return json.loads(client.ask(w.STATS).value)


def check_version(check, client):
    """Of a client of the future."""
    data = bytearray(w.datagram([w.message(w.Request(w.PING), 5)]))
    data[2] = w.VERSION + 1
    client.send(client.seed, 0, bytes(data))
    deadline, answers = time.monotonic() + 30, []
    while not answers and time.monotonic() < deadline:
        answers = client.receive(1)
    check.equal("another version is told ours", [(a.status, a.header[1]) for a in answers],
                [(w.BAD_VERSION, w.VERSION)])


def check_malformed(check, client):
    before = counters(client)["malformed"]
    cookie = client.seed.hello.cookie
    good = w.message(w.Request(w.GET, b"colour"), 7 << 50)
    bad = bytearray(w.message(w.Request(w.GET, b"colour"), 8 << 50))
    bad[4] = 0xFF  # a value that is not there
    answer = raw(client, w.datagram([good, bytes(bad)], client.session, cookie), 7 << 50)
    check.equal("what stands before a defect is served", answer.status, w.OK)
    whole = w.datagram([good], client.session, cookie)
    for data in (b"XX" + whole[2:], whole[:40], whole + bytes(8)):  # magic, cut off, something behind
        client.send(client.seed, 0, data)
    deadline = time.monotonic() + 30
    while (found := counters(client)["malformed"]) < before + 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    check.equal("defects are counted", found, before + 4)


def check_once(check, client):
    """The same sequence again and again: applied once, one answer."""
    client.put(b"once", b"0")
    cookie = client.seed.hello.cookie
    client.mutations += 1
    sequence = client.mutations
    incr = w.message(w.Request(w.INCR, b"once", b"", w.COUNTER_EXTRAS.pack(1, 0, 0, 0, 0)), sequence)
    worker = client.route(b"once")[1]
    answers = [raw(client, w.datagram([incr], client.session, cookie), sequence, worker) for _ in range(4)]
    check.equal("one outcome for all repeats", {(a.status, a.value, a.extras) for a in answers},
                {(w.OK, b"1", answers[0].extras)})
    check.equal("counted once", client.get(b"once").value, b"1")


def check_window(check, client):
    """A window of one: the next mutation waits for the answer of the one before."""
    client.window = 1
    answers = client.call(*(w.Request(w.PUT, f"window{i}".encode(), b"v") for i in range(5)))
    client.window = client.seed.hello.window
    check.equal("a window of one", {a.status for a in answers}, {w.OK})
    widest = w.WireClient(client.seed.address, window=0)  # 0: as many as the server keeps
    try:
        widest.put(b"colour", b"blue")
        worker, cookie = widest.route(b"colour")[1], widest.seed.hello.cookie
        for sequence, status in ((2 + widest.window, w.OK), (2, w.TOO_OLD)):
            put = w.message(w.Request(w.PUT, b"colour", b"v"), sequence)
            answer = raw(widest, w.datagram([put], widest.session, cookie), sequence, worker)
            check.equal(f"sequence {sequence} of a window of {widest.window}", answer.status, status)
    finally:
        widest.close()


def check_bad_network(check, server):
    chance = random.Random(7)
    client = w.WireClient(server, lose=lambda data: chance.random() < 0.15)
    try:
        client.put(b"lossy", b"0")
        for _ in range(5):
            answers = client.call(*(w.Request(w.INCR, b"lossy", b"", w.COUNTER_EXTRAS.pack(1, 0, 0, 0, 0))
                                    for _ in range(60)))
            check.equal("statuses", {a.status for a in answers}, {w.OK})
        check.equal("every INCR counted once", client.get(b"lossy").value, b"300")
        numbers = {int(a.value) for a in answers}
        check("and each saw a number of its own", numbers == set(range(241, 301)), str(sorted(numbers)))
        check("datagrams were lost", client.lost > 10, f"{client.sent} sent, {client.lost} lost of both ways")
    finally:
        client.close()


def inside(server):
    check = Checks(" ".join(sys.argv))
    client = w.WireClient(server)
    try:
        for part in (check_hello_and_ring, check_storing, check_counting, check_expiry, check_sizes,
                     check_packing, check_headers, check_refusals, check_version, check_malformed, check_once, check_window):
            print(f"-- {part.__name__}", flush=True)
            part(check, client)
        check.equal("keys went to their workers, but for the one", counters(client)["refused_owner"], 1)
    finally:
        client.close()
    check_bad_network(check, server)
    return check.finish()


def main():
    if sys.argv[1] == "--inside":
        return inside(sys.argv[2])
    need_root()
    check = Checks(" ".join(sys.argv))
    check_hash(check)
    with Cluster(sys.argv[1], lcores="0@0,1@1,2@1", ip6=sys.argv[2:] == ["6"]) as c:
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        server = c.SERVER_IP6 if c.ip6 else c.SERVER_IP
        done = subprocess.run(c.in_client([sys.executable, os.path.abspath(__file__), "--inside", server]),
                              capture_output=True, text=True, timeout=300)
        print(done.stdout + done.stderr)
        check("the client written from the text", done.returncode == 0)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
