# SPDX-License-Identifier: BSD-3-Clause
"""libdinomo-client by ctypes: its structs and functions as dinomo.h has them. The test `python` compares
them with the header. Nothing here is for users; see client.py."""
import ctypes
import os
from ctypes import c_char, c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p

SONAME = "libdinomo-client.so.1"


class Options(ctypes.Structure):
    _fields_ = [("in_flight_max", c_uint32), ("deadline_ms", c_uint32), ("mutation_window", c_uint32),
                ("pack_max", c_uint32), ("socket_buffer_bytes", c_uint32), ("retry_min_ms", c_uint32),
                ("retry_max_ms", c_uint32), ("reserved", c_uint32 * 9)]


class Result(ctypes.Structure):
    _fields_ = [("status", c_uint32), ("opcode", c_uint32), ("value", c_void_p), ("value_bytes", c_size_t),
                ("version", c_uint64), ("expiry_unix_ms", c_uint64), ("number", c_uint64),
                ("item_flags", c_uint32), ("transmissions", c_uint32), ("latency_ns", c_uint64),
                ("tag", c_uint64), ("reserved", c_uint64 * 4)]


class Operation(ctypes.Structure):
    # Key and value as char pointers: ctypes then hands over the bytes object's own memory.
    _fields_ = [("opcode", c_uint32), ("item_flags", c_uint32), ("key", c_char_p), ("key_bytes", c_size_t),
                ("value", c_char_p), ("value_bytes", c_size_t), ("ttl_ms", c_uint64), ("version", c_uint64),
                ("delta", c_uint64), ("initial", c_uint64), ("create", c_uint32), ("kn_slot", c_uint16),
                ("to_kn_slot", c_uint16), ("callback", c_void_p), ("context", c_void_p), ("tag", c_uint64),
                ("reserved", c_uint64 * 4)]


class Kn(ctypes.Structure):
    _fields_ = [("kn_slot", c_uint16), ("workers", c_uint16), ("udp_port_base", c_uint16),
                ("state", c_uint16), ("partitions", c_uint32), ("address", c_char * 60)]


# Those that the module uses; the blocking ones are not among them, so that Ctrl-C works.
FUNCTIONS = {
    "dinomo_open": (c_uint32, [c_char_p, ctypes.POINTER(Options), ctypes.POINTER(c_void_p)]),
    "dinomo_open_error": (c_char_p, []),
    "dinomo_close": (None, [c_void_p]),
    "dinomo_status_name": (c_char_p, [c_uint32]),
    "dinomo_status_text": (c_char_p, [c_uint32]),
    "dinomo_version": (c_char_p, []),
    "dinomo_connect": (c_uint32, [c_void_p]),
    "dinomo_submit": (c_uint32, [c_void_p, ctypes.POINTER(Operation)]),
    "dinomo_flush": (None, [c_void_p]),
    "dinomo_poll": (c_uint32, [c_void_p, c_int]),
    "dinomo_next": (c_int, [c_void_p, ctypes.POINTER(Result)]),
    "dinomo_in_flight": (c_uint32, [c_void_p]),
    "dinomo_fd": (c_int, [c_void_p]),
    "dinomo_idle_ns": (c_uint64, [c_void_p, c_uint64]),
    "dinomo_ring_version": (c_uint32, [c_void_p]),
    "dinomo_kns": (c_size_t, [c_void_p, ctypes.POINTER(Kn), c_size_t]),
    "dinomo_counter_name": (c_char_p, [c_size_t]),
    "dinomo_counter": (c_uint64, [c_void_p, c_size_t]),
}


def candidates():
    """Where the library may be, best first."""
    named = os.environ.get("DINOMO_CLIENT_LIBRARY")
    if named:
        return [named]
    here = os.path.dirname(os.path.abspath(__file__))
    checkout = os.path.join(here, "..", "..")
    built = os.path.join(checkout, "build", "lib", "sdk", SONAME)
    if os.path.exists(os.path.join(checkout, "meson.build")) and os.path.exists(built):
        return [built, SONAME]
    return [SONAME]


def load():
    reasons = []
    for path in candidates():
        try:
            library = ctypes.CDLL(path)
            break
        except OSError as error:
            reasons.append(str(error))
    else:
        raise ImportError(f"{SONAME} cannot be loaded: {'; '.join(reasons)}. Install it (meson install, "
                          "ldconfig), or let DINOMO_CLIENT_LIBRARY name the file")
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
