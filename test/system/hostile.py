#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends a KN what no client should: wrong frames, malformed and mutated datagrams, requests that lie.
Run in the client's namespace:  hostile.py SERVER INTERFACE SEED

Prints how many datagrams are malformed for sure, and fails if an answer is not what it should be.
"""
import random
import socket
import struct
import sys

PORT = 11300
HEADER = struct.Struct("<HBBHHQQII")   # magic version kind messages flags session cookie ring stamp
MESSAGE = struct.Struct("<BBBBHHQ")    # opcode status flags key_bytes value_bytes extra_bytes sequence
MAGIC = 0x4E44
HELLO, PING, RING, STATS, GET, PUT, DELETE = 1, 2, 3, 4, 16, 32, 33
OK, BAD_REQUEST, UNSUPPORTED, BAD_VERSION, NO_SESSION = 0, 32, 34, 35, 64


def datagram(messages, session=0, cookie=0, magic=MAGIC, version=1, kind=0, count=None, flags=0):
    count = len(messages) if count is None else count
    return HEADER.pack(magic, version, kind, count, flags, session, cookie, 0, 7) + b"".join(messages)


def message(opcode, key=b"", value=b"", extras=b"", sequence=0, key_bytes=None, value_bytes=None,
            extra_bytes=None):
    body = extras + key + value
    header = MESSAGE.pack(opcode, 0, 0, len(key) if key_bytes is None else key_bytes,
                          len(value) if value_bytes is None else value_bytes,
                          len(extras) if extra_bytes is None else extra_bytes, sequence)
    return header + body + bytes(-len(body) % 8)


class Client:
    def __init__(self, server):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(1)
        self.socket.connect((server, PORT))
        self.session = self.cookie = 0

    def send(self, data):
        self.socket.send(data)

    def ask(self, data, tries=5):
        """Status and size of the answer, or (None, 0)."""
        for _ in range(tries):
            self.drain()
            self.send(data)
            try:
                reply = self.socket.recv(65536)
            except TimeoutError:
                continue
            return reply
        return None

    def drain(self):
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            pass
        self.socket.settimeout(1)

    def hello(self):
        reply = self.ask(datagram([message(HELLO, value=bytes(96), extras=struct.pack("<IIQ", 16, 0, 0),
                                           sequence=1)]))
        self.session, self.cookie = struct.unpack_from("<QQ", reply, HEADER.size + MESSAGE.size)

    def signed(self, *messages, **fields):
        return datagram(list(messages), self.session, self.cookie, **fields)


failed = []


def expect(client, what, data, status):
    reply = client.ask(data)
    found = None if reply is None else reply[HEADER.size + 1]
    if found != status:
        failed.append(what)
        print(f"FAIL {what}: status {found}, expected {status}")
    return reply


def lies(client):
    """Well-formed datagrams that ask for what cannot be."""
    put = struct.pack("<QII", 0, 0, 0)
    expect(client, "get without a session", datagram([message(GET, b"key", sequence=1)]), NO_SESSION)
    expect(client, "get with a forged cookie",
           datagram([message(GET, b"key", sequence=1)], client.session, client.cookie ^ 1), NO_SESSION)
    expect(client, "get with another's session",
           datagram([message(GET, b"key", sequence=1)], client.session + 1, client.cookie), NO_SESSION)
    expect(client, "unknown opcode", client.signed(message(250, b"key", sequence=1)), UNSUPPORTED)
    expect(client, "get without a key", client.signed(message(GET, sequence=1)), BAD_REQUEST)
    expect(client, "put without a key", client.signed(message(PUT, b"", b"v", put, 1)), BAD_REQUEST)
    expect(client, "put with sequence 0", client.signed(message(PUT, b"k", b"v", put, 0)), BAD_REQUEST)
    expect(client, "put with strange extras", client.signed(message(PUT, b"k", b"v", put * 2, 1)),
           BAD_REQUEST)
    expect(client, "delete with a value", client.signed(message(DELETE, b"k", b"v", sequence=1)),
           BAD_REQUEST)
    expect(client, "another protocol version", datagram([message(PING)], version=9), BAD_VERSION)
    for what, request in (("hello", datagram([message(HELLO, extras=bytes(16))])),
                          ("ping", datagram([message(PING)])),
                          ("ring", datagram([message(RING, extras=bytes(8))])),
                          ("stats", datagram([message(STATS)]))):
        reply = client.ask(request, tries=2)
        if reply is not None and len(reply) > len(request):
            failed.append(what)
            print(f"FAIL {what} without a session is amplified: {len(request)} -> {len(reply)} bytes")


def malformed(client, chance):
    get = message(GET, b"key", sequence=1)
    whole = client.signed(get)
    kinds = [whole[:n] for n in range(len(whole))]
    kinds += [client.signed(get, magic=0x1234), client.signed(get, kind=1), client.signed(get, kind=9),
              client.signed(get, flags=1), client.signed(get, count=0), client.signed(get, count=2),
              client.signed(get, count=65535), whole + b"trailing",
              client.signed(message(GET, b"k" * 251, sequence=1)),
              client.signed(message(GET, b"k", extras=bytes(3), sequence=1)),
              client.signed(message(GET, b"k", sequence=1 << 56)),
              client.signed(message(GET, b"k", sequence=1, value_bytes=65535)),
              client.signed(message(GET, b"k", sequence=1, extra_bytes=65528))]
    kinds += [b"NO" + chance.randbytes(chance.randrange(1400)) for _ in range(500)]
    send(client, kinds)
    return len(kinds)


def send(client, datagrams):
    """In small groups, so that the KN sees nearly all of them."""
    for i, data in enumerate(datagrams):
        client.send(data)
        if i % 16 == 15:
            client.ask(datagram([message(PING)]))


def mutated(client, chance, count=1500):
    """True requests with some bits flipped: anything may come back, but the KN must live. Writes go to
    keys of their own, and a flipped opcode cannot make a read of them a write to others'."""
    put = struct.pack("<QII", 0, 0, 0)
    out = []
    for i in range(count):
        data = bytearray(client.signed(
            message(GET, b"hostile%d" % (i % 7), sequence=i + 1),
            message(PUT, b"hostile%d" % (i % 7), chance.randbytes(i % 300), put, 1_000_000 + i),
            message(DELETE, b"hostile%d" % (i % 5), sequence=2_000_000 + i), message(STATS)))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            data[at] ^= 1 << chance.randrange(8)
        out.append(bytes(data[:chance.randrange(len(data) + 1)] if chance.random() < 0.2 else data))
    send(client, out)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frames(server, interface, mac, chance):
    """Below UDP: lengths that lie, fragments, wrong checksums, other protocols, random bytes."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        ours = s.getsockname()[4]
        local = socket.inet_aton(server[:server.rindex(".")] + ".1")
        for i in range(600):
            payload = chance.randbytes(chance.randrange(64))
            total = 28 + len(payload)
            fragment = 0
            protocol, udp_bytes, version = 17, 8 + len(payload), 0x45
            kind = i % 6
            if kind == 0:
                total = chance.randrange(65536)
            elif kind == 1:
                udp_bytes = chance.randrange(65536)
            elif kind == 2:
                fragment = chance.choice((0x2000, 0x1FFF, 0x2001))
            elif kind == 3:
                protocol = chance.randrange(256)
            elif kind == 4:
                version = chance.randrange(256)
            ip = struct.pack(">BBHHHBBH", version, 0, total, i, fragment, 64, protocol, 0)
            ip += local + socket.inet_aton(server)
            ip = ip[:10] + struct.pack(">H", checksum(ip) ^ (kind == 5)) + ip[12:]
            udp = struct.pack(">HHHH", 40000, PORT, udp_bytes, 0)
            s.send(mac + ours + b"\x08\x00" + ip + udp + payload)
            s.send(mac + ours + chance.randbytes(chance.randrange(2, 1400)))


def server_mac(server):
    with open("/proc/net/arp", encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[0] == server:
                return bytes.fromhex(words[3].replace(":", ""))
    raise RuntimeError(f"no ARP entry of {server}")


def main():
    server, interface, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    chance = random.Random(seed)
    client = Client(server)
    client.hello()
    lies(client)
    count = malformed(client, chance)
    mutated(client, chance)
    frames(server, interface, server_mac(server), chance)
    client.hello()
    expect(client, "stats with a session, at the end", client.signed(message(STATS)), OK)
    print(f"malformed={count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
