# SPDX-License-Identifier: BSD-3-Clause
"""A client written from doc/protocol.md alone, without lib/wire or lib/client: plain sockets and struct.
It proves that the text is enough to write one; wire_test.py runs it. Blocking, not fast, complete: HELLO and
cookies, ring pages, routing, packing, windows, retries, large values, every operation.

`lose` (a function of a datagram that tells whether it gets lost) stands for a bad network, both ways.
"""
import collections
import select
import socket
import struct
import time

from xxh3 import xxh3_64

MAGIC, VERSION, REQUEST, REPLY = 0x4E44, 1, 0, 1
PARTITIONS = 4096
DATAGRAM = struct.Struct("<HBBHHQQII")  # magic version kind messages flags session cookie ring_version stamp
MESSAGE = struct.Struct("<BBBBHHQ")  # opcode status flags key_bytes value_bytes extra_bytes sequence
PUT_EXTRAS = struct.Struct("<QII")
CAS_EXTRAS = struct.Struct("<QQII")
COUNTER_EXTRAS = struct.Struct("<QQQII")
TOUCH_EXTRAS = struct.Struct("<Q")
RING_EXTRAS = struct.Struct("<HHI")
HELLO_EXTRAS = struct.Struct("<IIQ")
ITEM_EXTRAS = struct.Struct("<QQII")
VERSION_EXTRAS = struct.Struct("<Q")
HINT_EXTRAS = struct.Struct("<IHH")
HELLO_REPLY = struct.Struct("<QQQIIHHIIHHQII")
RING_PAGE = struct.Struct("<IHHHHHH")
KN_RECORD = struct.Struct("<16sHHHH")
HELLO_BYTES_MIN = 128

HELLO, PING, RING, STATS, GET = 1, 2, 3, 4, 16
(PUT, DELETE, ADD, REPLACE, CAS, APPEND, PREPEND, INCR, DECR, TOUCH, GET_AND_TOUCH) = range(32, 43)

(OK, NOT_FOUND, EXISTS, NOT_STORED, NOT_NUMBER) = range(5)
(BAD_REQUEST, TOO_LARGE, UNSUPPORTED, BAD_VERSION, TOO_OLD) = range(32, 37)
(NO_SESSION, WRONG_OWNER, MOVING, BUSY, NO_SPACE, SESSION_LOST) = range(64, 70)
INTERNAL = 96
WANT_ITEM = 1

Request = collections.namedtuple("Request", "opcode key value extras flags", defaults=(b"", b"", b"", 0))
Answer = collections.namedtuple("Answer", "status opcode sequence value extras header")
Hello = collections.namedtuple("Hello", "session cookie token window ring_version key_bytes_max reserved0 "
                                        "value_bytes_max session_idle_ms datagram_bytes_max kn_slot "
                                        "server_unix_ms cookie_ms reserved1")
KnRecord = collections.namedtuple("KnRecord", "address kn_slot udp_port_base workers state")


def is_mutation(opcode):
    return opcode >= 32


def item_of(answer):
    """(version, expiry_ms, item_flags) of an answer with ItemExtras."""
    return ITEM_EXTRAS.unpack(answer.extras)[:3]


def version_of(answer):
    return VERSION_EXTRAS.unpack(answer.extras)[0]


# bytes ------------------------------------------------------------------------------------------

def message(request, sequence):
    header = MESSAGE.pack(request.opcode, 0, request.flags, len(request.key), len(request.value),
                          len(request.extras), sequence)
    body = header + request.extras + request.key + request.value
    return body + bytes(-len(body) % 8)


def datagram(messages, session=0, cookie=0, ring_version=0, stamp=0):
    return DATAGRAM.pack(MAGIC, VERSION, REQUEST, len(messages), 0, session, cookie, ring_version,
                         stamp) + b"".join(messages)


def parse(data):
    """The answers in a datagram of replies; raises ValueError on anything that the text does not allow."""
    if len(data) < DATAGRAM.size:
        raise ValueError("short datagram")
    header = DATAGRAM.unpack_from(data)
    magic, _, kind, count, flags, _, cookie, _, _ = header
    if (magic, kind, flags, cookie) != (MAGIC, REPLY, 0, 0) or count == 0:
        raise ValueError(f"no reply: {header}")
    answers, at = [], DATAGRAM.size
    for _ in range(count):
        opcode, status, _, key_bytes, value_bytes, extra_bytes, sequence = MESSAGE.unpack_from(data, at)
        begin = at + MESSAGE.size
        value_at = begin + extra_bytes
        end = value_at + value_bytes
        at = end + -end % 8
        if key_bytes != 0 or extra_bytes % 8 != 0 or at > len(data) or any(data[end:at]):
            raise ValueError("malformed message")
        answers.append(Answer(status, opcode, sequence, data[value_at:end], data[begin:value_at], header))
    if at != len(data):
        raise ValueError("bytes after the last message")
    return answers


# the client -------------------------------------------------------------------------------------

class Kn:
    def __init__(self, address, port):
        self.address, self.port, self.workers, self.kn_slot = address, port, 1, None
        self.hello = None  # the last Hello, while its cookie is good


class WireClient:
    DEADLINE_S, FIRST_RETRY_S = 20.0, 0.05
    OTHER_SEQUENCES = 1 << 55  # of what is no mutation

    def __init__(self, address, port=11300, window=64, lose=lambda data: False):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.lose, self.wanted_window, self.window = lose, window, 1
        self.seed = Kn(address, port)
        self.kns = {}  # by slot
        self.owner, self.ring_version = [], 0
        self.session, self.token = 0, 0
        self.mutations, self.others = 0, self.OTHER_SEQUENCES
        self.sent, self.lost = 0, 0

    def close(self):
        self.socket.close()

    # datagrams

    def send(self, kn, worker, data):
        self.sent += 1
        if self.lose(data):
            self.lost += 1
        else:
            self.socket.sendto(data, (kn.address, kn.port + worker))

    def receive(self, timeout_s):
        """The answers that arrive in time, or [] of a lost or foreign datagram or of silence."""
        if not select.select([self.socket], [], [], max(timeout_s, 0))[0]:
            return []
        data = self.socket.recv(65536)
        if self.lose(data):
            self.lost += 1
            return []
        return parse(data)

    def exchange(self, kn, worker, data, sequence):
        """Repeats a datagram of one request until its answer comes."""
        deadline, wait_s = time.monotonic() + self.DEADLINE_S, self.FIRST_RETRY_S
        while time.monotonic() < deadline:
            self.send(kn, worker, data)
            until = time.monotonic() + wait_s
            while (left_s := until - time.monotonic()) > 0:
                for answer in self.receive(left_s):
                    if answer.sequence == sequence:
                        return answer
            wait_s = min(2 * wait_s, 1.0)
        raise TimeoutError("no answer")

    def other_sequence(self):
        self.others += 1
        return self.others

    # sessions and ring

    def hello_datagram(self, sequence):
        extras = HELLO_EXTRAS.pack(self.wanted_window, 0, self.token)
        padding = bytes(HELLO_BYTES_MIN - DATAGRAM.size - MESSAGE.size - len(extras))
        return datagram([message(Request(HELLO, b"", padding, extras), sequence)], self.session)

    def say_hello(self, kn, worker=0):
        while True:
            sequence = self.other_sequence()
            answer = self.exchange(kn, worker, self.hello_datagram(sequence), sequence)
            if answer.status == OK:
                break
            if answer.status != BUSY:
                raise RuntimeError(f"HELLO: {answer}")
            time.sleep(0.05)
        kn.hello = Hello(*HELLO_REPLY.unpack(answer.value))
        self.window = min(self.wanted_window or kn.hello.window, kn.hello.window)
        kn.kn_slot = kn.hello.kn_slot
        if kn.hello.session != self.session:
            self.session, self.mutations = kn.hello.session, 0
            for other in self.kns.values():
                if other is not kn:
                    other.hello = None
        self.token = kn.hello.token
        return kn.hello

    def fetch_ring(self):
        kn = next(iter(self.kns.values()), self.seed)
        records, owner, version = [], [], None
        total = None
        while total is None or len(records) < total or len(owner) < PARTITIONS:
            if kn.hello is None:
                self.say_hello(kn)
            sequence = self.other_sequence()
            request = Request(RING, extras=RING_EXTRAS.pack(len(records), len(owner), 0))
            answer = self.exchange(kn, 0, datagram([message(request, sequence)], self.session,
                                                   kn.hello.cookie), sequence)
            if answer.status == NO_SESSION:
                kn.hello = None
                continue
            if answer.status == BUSY:
                time.sleep(0.05)
                continue
            page = RING_PAGE.unpack_from(answer.value)
            if version not in (None, page[0]):  # changed between two pages
                records, owner, version, total = [], [], None, None
                continue
            version, total, _, kn_count, _, partition_count, _ = page
            at = RING_PAGE.size
            for _ in range(kn_count):
                records.append(KnRecord(*KN_RECORD.unpack_from(answer.value, at)))
                at += KN_RECORD.size
            owner += struct.unpack_from(f"<{partition_count}H", answer.value, at)
        self.install(version, records, owner, kn)

    def install(self, version, records, owner, told_by):
        self.ring_version, self.owner = version, owner
        for record in records:
            kn = self.kns.get(record.kn_slot)
            if kn is None:
                kn = told_by if record.kn_slot == told_by.kn_slot else Kn(*self.address_of(record))
                self.kns[record.kn_slot] = kn
            kn.workers = record.workers

    @staticmethod
    def address_of(record):
        if record.address.startswith(bytes(10) + b"\xff\xff"):
            return socket.inet_ntop(socket.AF_INET, record.address[12:]), record.udp_port_base
        return socket.inet_ntop(socket.AF_INET6, record.address), record.udp_port_base

    def route(self, key):
        """The owner of a key, and its worker; None while nobody owns it."""
        if not self.owner:
            self.fetch_ring()
        h = xxh3_64(key)
        kn = self.kns.get(self.owner[h >> 52])
        return (kn, (h & 0xFFFFFFFF) * kn.workers >> 32) if kn else (None, 0)

    # requests

    def call(self, *requests):
        """Carries out requests; the answers in their order. Mutations get their sequences here, and keep
        them through all repeats."""
        work = [[request, None, False] for request in requests]  # request, sequence, answered
        answers = [None] * len(work)
        deadline, wait_s = time.monotonic() + self.DEADLINE_S, self.FIRST_RETRY_S
        while None in answers:
            if time.monotonic() > deadline:
                raise TimeoutError("no answer")
            open_now = [i for i, a in enumerate(answers) if a is None]
            waiting, pause_s = self.send_all(work, open_now), 0
            until = time.monotonic() + wait_s
            before = len(waiting)
            while waiting and (left_s := until - time.monotonic()) > 0:
                for answer in self.receive(left_s):
                    i = waiting.pop(answer.sequence, None)
                    if i is None:
                        continue  # late, or twice
                    pause_s = max(pause_s, self.take(answer, i, work, answers))
            wait_s = min(2 * wait_s, 1.0) if len(waiting) == before else self.FIRST_RETRY_S
            time.sleep(pause_s)
        return answers

    def send_all(self, work, indices):
        """Sends what may be sent now. Returns {sequence: index}."""
        waiting, queues = {}, collections.defaultdict(list)
        for i in indices:
            request = work[i][0]
            kn, worker = self.route(request.key) if request.key else (self.seed, 0)
            if kn is None:
                self.owner = []  # nobody owns it now: fetch the ring again
                continue
            if kn.hello is None:
                self.say_hello(kn, worker)
            if work[i][1] is None:
                work[i][1] = self.next_sequence(request.opcode, work)
            if work[i][1] is not None:
                waiting[work[i][1]] = i
                queues[kn, worker].append(message(request, work[i][1]))
        for (kn, worker), messages in queues.items():
            self.pack(kn, worker, messages)
        return waiting

    def next_sequence(self, opcode, work):
        """None for a mutation that the window does not allow yet."""
        if not is_mutation(opcode):
            return self.other_sequence()
        if self.mutations + 1 - self.oldest_mutation(work) >= self.window:
            return None
        self.mutations += 1
        return self.mutations

    def oldest_mutation(self, work):
        open_now = (sequence for request, sequence, answered in work
                    if sequence is not None and is_mutation(request.opcode) and not answered)
        return min(open_now, default=self.mutations + 1)

    def pack(self, kn, worker, messages):
        """As many messages in a datagram as fit; a large one alone."""
        batch, size = [], DATAGRAM.size
        for one in messages:
            if batch and size + len(one) > kn.hello.datagram_bytes_max:
                self.send(kn, worker, self.requests(kn, batch))
                batch, size = [], DATAGRAM.size
            batch.append(one)
            size += len(one)
        self.send(kn, worker, self.requests(kn, batch))

    def requests(self, kn, batch):
        return datagram(batch, self.session, kn.hello.cookie, self.ring_version)

    def take(self, answer, i, work, answers):
        """Does what the table of statuses says. Returns how long to wait before the next round."""
        if answer.status == NO_SESSION:
            for kn in (self.seed, *self.kns.values()):
                kn.hello = None
        elif answer.status == WRONG_OWNER:
            self.owner = []
        elif answer.status in (MOVING, BUSY):
            return HINT_EXTRAS.unpack(answer.extras)[0] / 1e6 if answer.extras else 0.01
        elif answer.status == SESSION_LOST:
            raise RuntimeError("session lost: a new one has to be begun by the caller")
        else:
            answers[i], work[i][2] = answer, True
        return 0

    # operations

    def get(self, key):
        return self.call(Request(GET, key, flags=WANT_ITEM))[0]

    def put(self, key, value, ttl_ms=0, item_flags=0, opcode=PUT):
        return self.call(Request(opcode, key, value, PUT_EXTRAS.pack(ttl_ms, item_flags, 0)))[0]

    def cas(self, key, version, value, ttl_ms=0, item_flags=0):
        return self.call(Request(CAS, key, value, CAS_EXTRAS.pack(version, ttl_ms, item_flags, 0)))[0]

    def count(self, opcode, key, delta, create=None, ttl_ms=0):
        extras = COUNTER_EXTRAS.pack(delta, create or 0, ttl_ms, int(create is not None), 0)
        return self.call(Request(opcode, key, b"", extras))[0]

    def touch(self, opcode, key, ttl_ms):
        return self.call(Request(opcode, key, b"", TOUCH_EXTRAS.pack(ttl_ms)))[0]

    def delete(self, key):
        return self.call(Request(DELETE, key))[0]

    def ask(self, opcode):
        return self.call(Request(opcode))[0]
