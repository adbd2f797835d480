# SPDX-License-Identifier: BSD-3-Clause
"""The blocking client, and what it shares with the asyncio one (aio.py).

Keys and values are bytes; str is encoded as UTF-8. What comes back is bytes. Outcomes that a caller has to
look at are exceptions of their own (NotFound, Exists, ...), all of them DinomoError with a `status`.
"""
import collections
import ctypes
import enum
import functools
import os
import threading

from . import _library

_lib = _library.load()


class Status(enum.IntEnum):
    """As dinomo_status in dinomo.h."""
    OK = 0
    NOT_FOUND = 1
    EXISTS = 2
    NOT_STORED = 3
    NOT_NUMBER = 4
    BAD_REQUEST = 32
    TOO_LARGE = 33
    UNSUPPORTED = 34
    BAD_VERSION = 35
    NO_SPACE = 68
    INTERNAL = 96
    TIMEOUT = 128
    UNREACHABLE = 129
    OUTCOME_UNKNOWN = 130
    CLOSED = 131
    FULL = 140
    INVALID = 141
    UNKNOWN_HOST = 142
    NO_RESOURCE = 143


class Opcode(enum.IntEnum):
    """As dinomo_opcode in dinomo.h."""
    PING = 2
    STATS = 4
    GET = 16
    PUT = 32
    DELETE = 33
    ADD = 34
    REPLACE = 35
    CAS = 36
    APPEND = 37
    PREPEND = 38
    INCR = 39
    DECR = 40
    TOUCH = 41
    GET_AND_TOUCH = 42


class DinomoError(Exception):
    """An operation that did not do what it is for. `status`: a Status, or a number that this release does
    not know."""

    def __init__(self, status, text=None):
        super().__init__(text or _lib.dinomo_status_text(status).decode())
        self.status = _status(status)


class NotFound(DinomoError):
    """There is no such key."""


class Exists(DinomoError):
    """add: there is an item; cas: it has another version."""


class NotStored(DinomoError):
    """replace, append, prepend: there is no item."""


class NotNumber(DinomoError):
    """incr, decr: the value is no decimal number."""


class InvalidArgument(DinomoError, ValueError):
    """Nothing was sent."""


class Timeout(DinomoError, TimeoutError):
    """No answer in time; a mutation may or may not have been carried out."""


class Unreachable(DinomoError, ConnectionError):
    """Nobody listens."""


class OutcomeUnknown(DinomoError):
    """The servers have forgotten what became of a repeated mutation."""


_ERRORS = {Status.NOT_FOUND: NotFound, Status.EXISTS: Exists, Status.NOT_STORED: NotStored,
           Status.NOT_NUMBER: NotNumber, Status.INVALID: InvalidArgument, Status.TOO_LARGE: InvalidArgument,
           Status.TIMEOUT: Timeout, Status.UNREACHABLE: Unreachable, Status.UNKNOWN_HOST: Unreachable,
           Status.OUTCOME_UNKNOWN: OutcomeUnknown}

Item = collections.namedtuple("Item", "value version item_flags expiry_unix_ms")
KnInfo = collections.namedtuple("KnInfo", "kn_slot address workers partitions state")


class Result(collections.namedtuple("Result", "status opcode value version item_flags expiry_unix_ms number "
                                              "transmissions latency_ns")):
    """How one operation ended, whatever the status; see dinomo_result in dinomo.h."""
    __slots__ = ()

    @classmethod
    def of_status(cls, status, opcode=0):
        """Of an operation that no server has answered."""
        return cls(_status(status), opcode, b"", 0, 0, 0, 0, 0, 0)

    @property
    def ok(self):
        return self.status == Status.OK

    def check(self):
        """Itself, or the exception that fits."""
        if self.status != Status.OK:
            raise error_of(self.status)
        return self

    @property
    def item(self):
        return Item(self.value, self.version, self.item_flags, self.expiry_unix_ms)


def _status(number):
    try:
        return Status(number)
    except ValueError:
        return number


def error_of(status, text=None):
    return _ERRORS.get(status, DinomoError)(status, text)


def to_bytes(data):
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a key or value has to be bytes-like or str, not {type(data).__name__}")


def _unsigned(name, number, bits):
    if not 0 <= number < 1 << bits:
        raise InvalidArgument(Status.INVALID, f"{name} is {number}: it has to be from 0 to 2^{bits} - 1")
    return number


class op:
    """Makes operations, for Client.call, call_many and submit."""

    @staticmethod
    def keyed(opcode, key, value=b"", *, ttl_ms=0, item_flags=0, version=0, delta=0, initial=0, create=False):
        key, value = to_bytes(key), to_bytes(value)
        return _library.Operation(
            opcode=opcode, key=key, key_bytes=len(key), value=value, value_bytes=len(value),
            ttl_ms=_unsigned("ttl_ms", ttl_ms, 64), item_flags=_unsigned("item_flags", item_flags, 32),
            version=_unsigned("version", version, 64), delta=_unsigned("delta", delta, 64),
            initial=_unsigned("initial", initial, 64), create=int(create))

    @staticmethod
    def get(key):
        return op.keyed(Opcode.GET, key)

    @staticmethod
    def put(key, value, ttl_ms=0, item_flags=0):
        return op.keyed(Opcode.PUT, key, value, ttl_ms=ttl_ms, item_flags=item_flags)

    @staticmethod
    def add(key, value, ttl_ms=0, item_flags=0):
        return op.keyed(Opcode.ADD, key, value, ttl_ms=ttl_ms, item_flags=item_flags)

    @staticmethod
    def replace(key, value, ttl_ms=0, item_flags=0):
        return op.keyed(Opcode.REPLACE, key, value, ttl_ms=ttl_ms, item_flags=item_flags)

    @staticmethod
    def cas(key, version, value, ttl_ms=0, item_flags=0):
        return op.keyed(Opcode.CAS, key, value, version=version, ttl_ms=ttl_ms, item_flags=item_flags)

    @staticmethod
    def append(key, value):
        return op.keyed(Opcode.APPEND, key, value)

    @staticmethod
    def prepend(key, value):
        return op.keyed(Opcode.PREPEND, key, value)

    @staticmethod
    def delete(key):
        return op.keyed(Opcode.DELETE, key)

    @staticmethod
    def incr(key, delta=1, *, create=False, initial=0, ttl_ms=0):
        """With `create` an item that is absent is made, with the number `initial`."""
        return op.keyed(Opcode.INCR, key, delta=delta, create=create, initial=initial, ttl_ms=ttl_ms)

    @staticmethod
    def decr(key, delta=1, *, create=False, initial=0, ttl_ms=0):
        return op.keyed(Opcode.DECR, key, delta=delta, create=create, initial=initial, ttl_ms=ttl_ms)

    @staticmethod
    def touch(key, ttl_ms):
        return op.keyed(Opcode.TOUCH, key, ttl_ms=ttl_ms)

    @staticmethod
    def get_and_touch(key, ttl_ms):
        return op.keyed(Opcode.GET_AND_TOUCH, key, ttl_ms=ttl_ms)

    @staticmethod
    def _to_kn(opcode, kn_slot):
        return _library.Operation(opcode=opcode, kn_slot=kn_slot or 0, to_kn_slot=kn_slot is not None)

    @staticmethod
    def ping(kn_slot=None):
        return op._to_kn(Opcode.PING, kn_slot)

    @staticmethod
    def stats(kn_slot=None):
        return op._to_kn(Opcode.STATS, kn_slot)


class Handle:
    """An open dinomo_client, and who waits for which tag."""

    def __init__(self, servers, **options):
        self.waiting = {}  # tag: function of a Result
        self._tag = 0
        self._handle = None
        known = {name for name, _ in _library.Options._fields_} - {"reserved"}
        for name, number in options.items():
            if name not in known:
                raise TypeError(f"no option {name}: there are {', '.join(sorted(known))}")
            _unsigned(name, number, 32)
        handle = ctypes.c_void_p()
        status = _lib.dinomo_open(None if servers is None else os.fsencode(servers),
                                  ctypes.byref(_library.Options(**options)), ctypes.byref(handle))
        if status != Status.OK:
            raise error_of(status, _lib.dinomo_open_error().decode())
        self._handle = handle
        self._pid = os.getpid()

    @property
    def pointer(self):
        if self._handle is None:
            raise DinomoError(Status.CLOSED, "the client has been closed")
        if os.getpid() != self._pid:
            raise DinomoError(Status.INVALID, "the client was made before fork(): open one in this process")
        return self._handle

    def close(self):
        """Who still waits gets CLOSED."""
        handle, self._handle = self._handle, None
        if handle is not None and os.getpid() == self._pid:
            _lib.dinomo_close(handle)
        waiting, self.waiting = self.waiting, {}
        for sink in waiting.values():
            sink(Result.of_status(Status.CLOSED))

    def submit(self, operation, sink):
        """Status; OK if `sink` will be called with a Result."""
        self._tag += 1
        operation.tag = self._tag
        status = _lib.dinomo_submit(self.pointer, ctypes.byref(operation))
        if status == Status.OK:
            self.waiting[self._tag] = sink
        return status

    def flush(self):
        _lib.dinomo_flush(self.pointer)

    def poll(self, timeout_ms):
        """Receives, and hands out results. Returns how many."""
        _lib.dinomo_poll(self.pointer, timeout_ms)
        raw = _library.Result()
        count = 0
        while self._handle is not None and _lib.dinomo_next(self._handle, ctypes.byref(raw)):
            count += 1
            sink = self.waiting.pop(raw.tag, None)
            if sink is not None:
                value = ctypes.string_at(raw.value, raw.value_bytes) if raw.value_bytes else b""
                sink(Result(_status(raw.status), raw.opcode, value, raw.version, raw.item_flags,
                            raw.expiry_unix_ms, raw.number, raw.transmissions, raw.latency_ns))
        return count

    def fd(self):
        return _lib.dinomo_fd(self.pointer)

    def idle_ns(self, limit_ns):
        return _lib.dinomo_idle_ns(self.pointer, limit_ns)

    def in_flight(self):
        return _lib.dinomo_in_flight(self.pointer)

    def connect(self):
        status = _lib.dinomo_connect(self.pointer)
        if status != Status.OK:
            raise error_of(status)

    def kns(self):
        count = _lib.dinomo_kns(self.pointer, None, 0)
        array = (_library.Kn * count)()
        _lib.dinomo_kns(self.pointer, array, count)
        return [KnInfo(k.kn_slot, k.address.decode(), k.workers, k.partitions, k.state) for k in array]

    def ring_version(self):
        return _lib.dinomo_ring_version(self.pointer)

    def counters(self):
        out = {}
        while (name := _lib.dinomo_counter_name(len(out))) is not None:
            out[name.decode()] = _lib.dinomo_counter(self.pointer, len(out))
        return out


class Operations:
    """The methods that Client and AsyncClient share; with the latter they are to be awaited. Changing
    methods give the item's new version."""

    def _run(self, operation, outcome):
        """outcome(Result of the operation)"""
        raise NotImplementedError

    def _run_many(self, operations, outcome):
        """outcome(list of their Results)"""
        raise NotImplementedError

    def get(self, key, default=None):
        return self._run(op.get(key), lambda r: default if _absent(r) else r.value)

    def get_item(self, key):
        """Value, version, flags, expiry; None if there is no such key."""
        return self._run(op.get(key), lambda r: None if _absent(r) else r.item)

    def get_and_touch(self, key, ttl_ms):
        return self._run(op.get_and_touch(key, ttl_ms), lambda r: None if _absent(r) else r.item)

    def get_many(self, keys):
        """The values of those keys that exist, in a few datagrams."""
        keys = list(keys)
        return self._run_many([op.get(key) for key in keys],
                              lambda results: {k: r.value for k, r in zip(keys, results) if not _absent(r)})

    def put(self, key, value, ttl_ms=0, item_flags=0):
        return self._run(op.put(key, value, ttl_ms, item_flags), _version)

    def put_many(self, items, ttl_ms=0):
        """Stores a mapping. Raises the first failure, after all have ended."""
        return self._run_many([op.put(k, v, ttl_ms) for k, v in items.items()],
                              lambda results: [_version(r) for r in results])

    def add(self, key, value, ttl_ms=0, item_flags=0):
        return self._run(op.add(key, value, ttl_ms, item_flags), _version)

    def replace(self, key, value, ttl_ms=0, item_flags=0):
        return self._run(op.replace(key, value, ttl_ms, item_flags), _version)

    def cas(self, key, version, value, ttl_ms=0, item_flags=0):
        return self._run(op.cas(key, version, value, ttl_ms, item_flags), _version)

    def append(self, key, value):
        return self._run(op.append(key, value), _version)

    def prepend(self, key, value):
        return self._run(op.prepend(key, value), _version)

    def touch(self, key, ttl_ms):
        return self._run(op.touch(key, ttl_ms), _version)

    def delete(self, key):
        """Whether there was an item."""
        return self._run(op.delete(key), lambda r: not _absent(r))

    def incr(self, key, delta=1, *, create=False, initial=0, ttl_ms=0):
        """The new number."""
        return self._run(op.incr(key, delta, create=create, initial=initial, ttl_ms=ttl_ms), _number)

    def decr(self, key, delta=1, *, create=False, initial=0, ttl_ms=0):
        """The new number; never below 0."""
        return self._run(op.decr(key, delta, create=create, initial=initial, ttl_ms=ttl_ms), _number)

    def ping(self, kn_slot=None):
        """Seconds until the answer."""
        return self._run(op.ping(kn_slot), lambda r: r.check().latency_ns / 1e9)

    def stats(self, kn_slot=None):
        """A KN's counters, as JSON text."""
        return self._run(op.stats(kn_slot), lambda r: r.check().value.decode())


def _absent(result):
    return result.status == Status.NOT_FOUND or not result.check().ok


def _version(result):
    return result.check().version


def _number(result):
    return result.check().number


class Client(Operations):
    """A client for any number of threads; they take turns. `servers`: "host[:port],...", or None for
    $DINOMO_SERVER or 127.0.0.1. Options (0: the default): in_flight_max, deadline_ms, mutation_window,
    pack_max, socket_buffer_bytes, retry_min_ms, retry_max_ms."""

    _POLL_MS = 100  # so that Ctrl-C is seen

    def __init__(self, servers=None, **options):
        self._lock = threading.RLock()
        self._handle = Handle(servers, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with self._lock:
            self._handle.close()

    def call(self, operation):
        return self.call_many([operation])[0]

    def call_many(self, operations):
        """Carries out operations (made by `op`) that travel together; no order among them. A list of Results
        in the order of the operations; never raises for what one of them ends with."""
        operations = list(operations)
        results = [None] * len(operations)
        with self._lock:
            for i, operation in enumerate(operations):
                sink = functools.partial(results.__setitem__, i)
                while (status := self._handle.submit(operation, sink)) == Status.FULL:
                    self._handle.poll(self._POLL_MS)
                if status != Status.OK:
                    sink(Result.of_status(status, operation.opcode))
            self._handle.flush()
            while None in results:
                self._handle.poll(self._POLL_MS)
        return results

    def _run(self, operation, outcome):
        return outcome(self.call(operation))

    def _run_many(self, operations, outcome):
        return outcome(self.call_many(operations))

    def submit(self, operation, done):
        """Queues; flush() sends, poll() or a blocking call calls done(Result). Raises if it cannot be queued
        (Status.FULL: poll first)."""
        with self._lock:
            status = self._handle.submit(operation, done)
        if status != Status.OK:
            raise error_of(status)

    def flush(self):
        with self._lock:
            self._handle.flush()

    def poll(self, timeout_ms=0):
        with self._lock:
            return self._handle.poll(timeout_ms)

    def in_flight(self):
        with self._lock:
            return self._handle.in_flight()

    def kns(self):
        """The KNs of the ring."""
        with self._lock:
            if self._handle.ring_version() == 0:
                self._handle.connect()
            return self._handle.kns()

    def counters(self):
        """Of the library: transmissions, time-outs, datagrams..."""
        with self._lock:
            return self._handle.counters()


def version():
    """Release of the library."""
    return _lib.dinomo_version().decode()
