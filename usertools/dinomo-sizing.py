#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How much memory, pool, network and how many lcores a load wants. An estimate to buy and to begin with, then measure.

  dinomo-sizing --keys 100m --value-bytes 1k --ops 2m --reads 0.95
  dinomo-sizing --keys 100m --value-bytes 100 --ops 5m --cache-bytes 4g     what does this cache do?
  dinomo-sizing --keys 1g --value-bytes 64 --ops 10m --rts 0.3              which cache costs 0.3 RTs a GET?

CPU times are those of doc/performance.md, measured on one machine; give your own by --datagram-ns. Exit status: 0; 1 if
no cache reaches --rts; 2 if wrongly used."""
import argparse
import json
import math
import sys

from dinomo_tools import EXIT_OK, Trouble, columns, parser, run

PROG = "dinomo-sizing"
SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
COUNTS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

ENTRY_ALIGN, ENTRY_HEADER = 64, 56  # doc/formats.md
SHORTCUT_BYTES = 16  # 13.5 to 24 all in, doc/cache.md
ITEM_OVERHEAD = 32  # of a value in the cache: head, table, what a page wastes
SEGMENT_SHARE = 27 / 32  # of the pool; the rest is the index's, doc/space.md
FILL = 0.8  # of the segments; compaction wants the rest
INDEX_BYTES = 16 / 0.5 * 1.5  # an item: a slot, tables half full, old and new one while it grows
MISS_RTS = 2
BUSY = 0.6  # of a lcore, so that bursts find room

# Engine, CPU ns at values of 64 B and 1 KB (engine_bench, "clients"); a datagram in and out by kind of port
# (echo through the ingress: memif.py, peers.py).
ENGINE_NS = {"value": (144, 301), "shortcut": (225, 423), "miss": (376, 580), "put": (287, 558)}
DATAGRAM_NS = {"memif": 270, "af_xdp": 2712, "af_packet": 3262}
HEADER_BYTES, MESSAGE_BYTES = 14 + 20 + 8 + 32, 16  # of a datagram: Ethernet, IPv4, UDP, ours; of each message in it


def scaled(suffixes):
    def parse(text):
        number, factor = (text[:-1], suffixes[text[-1].lower()]) if text[-1:].lower() in suffixes else (text, 1)
        try:
            value = float(number) * factor
        except ValueError:
            value = 0
        if not 0 < value < 1e18:
            raise argparse.ArgumentTypeError(f"'{text}' is no number above 0, with k, m, g or t after it if it is large")
        return int(value) or 1
    return parse


def share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share: 0 to 1")
    return value


def not_negative(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 on")
    return value


class Zipf:
    """Share of the reads that go to the most popular keys. `theta` 0 is uniform."""

    def __init__(self, keys, theta):
        self.keys, self.theta = keys, theta

    def _sum(self, n):
        """Of i^-theta for i in 1..n: the first by themselves, the others by the integral."""
        exact = min(n, 64)
        total = sum(i ** -self.theta for i in range(1, exact + 1))
        a, b = exact + 0.5, n + 0.5
        if b > a:
            total += math.log(b / a) if abs(self.theta - 1) < 1e-9 else (
                (b ** (1 - self.theta) - a ** (1 - self.theta)) / (1 - self.theta))
        return total

    def mass(self, n):
        n = max(0, min(int(n), self.keys))
        return self._sum(n) / self._sum(self.keys) if n else 0.0


def cache_of(load, cache_bytes):
    """{share of GETs answered by values, shortcuts, misses; RTs a GET} under the best split that there is: values of the
    most popular keys, shortcuts of the next. DAC comes near it; it has to find out what is popular."""
    zipf, item = Zipf(load.keys, load.theta), load.value_bytes + load.key_bytes + ITEM_OVERHEAD
    best = None
    for step in range(101):
        values = min(load.keys, cache_bytes * step / 100 / item)
        shortcuts = min(load.keys - values, (cache_bytes - values * item) / SHORTCUT_BYTES)
        hit, known = zipf.mass(values), zipf.mass(values + shortcuts)
        rts = (known - hit) + MISS_RTS * (1 - known)
        if best is None or rts < best["rts"] - 1e-12:
            best = {"value": hit, "shortcut": known - hit, "miss": 1 - known, "rts": rts}
    return best


def cache_for(load, rts):
    """Least bytes of cache that cost at most so many RTs a GET, within 1 %."""
    most = load.keys * (load.value_bytes + load.key_bytes + ITEM_OVERHEAD)
    low, high = 1 << 20, max(most, 1 << 21)
    if cache_of(load, high)["rts"] > rts + 1e-9:
        raise Trouble(f"no cache reaches {rts} RTs a GET")
    while high > low * 1.01:
        middle = int(math.sqrt(low * high))
        low, high = (low, middle) if cache_of(load, middle)["rts"] <= rts else (middle, high)
    return high


def engine_ns(kind, value_bytes):
    small, large = ENGINE_NS[kind]
    return small + (large - small) * max(0, value_bytes - 64) / 960


def pool_bytes(load):
    entry = -(-(ENTRY_HEADER + load.key_bytes + load.value_bytes) // ENTRY_ALIGN) * ENTRY_ALIGN
    segments = load.keys * entry / FILL
    return int(max(segments / SEGMENT_SHARE, segments + load.keys * INDEX_BYTES)), entry


def estimate(load):
    cache_bytes = load.cache_bytes or cache_for(load, load.rts)
    cache = cache_of(load, cache_bytes)
    pool, entry = pool_bytes(load)
    puts = 1 - load.reads
    packed = load.pack
    engine = load.reads * sum(cache[kind] * engine_ns(kind, load.value_bytes) for kind in ("value", "shortcut", "miss"))
    engine += puts * engine_ns("put", load.value_bytes)
    datagram_ns = load.datagram_ns if load.datagram_ns is not None else DATAGRAM_NS[load.port]
    lcores = max(1, math.ceil(load.ops * (engine + datagram_ns / packed) / 1e9 / BUSY))
    kns = math.ceil(lcores / load.lcores_per_kn)
    message = MESSAGE_BYTES + load.key_bytes + HEADER_BYTES / packed
    return {
        "cache_bytes": cache_bytes, "get_value_share": cache["value"], "get_shortcut_share": cache["shortcut"],
        "get_miss_share": cache["miss"], "rts_per_get": cache["rts"], "entry_bytes": entry, "pool_bytes": pool,
        "engine_ns_per_op": engine, "datagram_ns": datagram_ns, "worker_lcores": lcores, "kns": kns,
        "cache_bytes_per_kn": math.ceil(cache_bytes / kns), "lcores_per_kn": 1 + math.ceil(lcores / kns),
        "clients_in_bits_per_s": 8 * load.ops * (message + puts * load.value_bytes),
        "clients_out_bits_per_s": 8 * load.ops * (message + load.reads * load.value_bytes),
        "fabric_read_bits_per_s": 8 * load.ops * load.reads * (
            (cache["shortcut"] + cache["miss"]) * entry + cache["miss"] * 64),
        "fabric_write_bits_per_s": 8 * load.ops * puts * entry,
    }


def size_text(count):
    for suffix, one in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= one:
            return f"{count / one:.1f} {suffix}"
    return f"{count / 1024:.0f} KiB"


def rate_text(bits):
    return f"{bits / 1e9:.2f} Gbit/s"


def text(e):
    rows = [("pool", size_text(e["pool_bytes"]), f"--pool-bytes; an entry takes {e['entry_bytes']} bytes, 80 % full"),
            ("KNs", str(e["kns"]), f"with {e['lcores_per_kn']} lcores each, one of them for control"),
            ("worker lcores", str(e["worker_lcores"]),
             f"{e['engine_ns_per_op']:.0f} ns an operation, {e['datagram_ns']:.0f} ns a datagram, 60 % busy"),
            ("cache of all KNs", size_text(e["cache_bytes"]), ""),
            ("cache of a KN", size_text(e["cache_bytes_per_kn"]), "--cache-bytes"),
            ("GETs", f"{e['rts_per_get']:.2f} RTs", f"{e['get_value_share']:.0%} by values, {e['get_shortcut_share']:.0%} "
             f"by shortcuts, {e['get_miss_share']:.0%} miss"),
            ("clients to KNs", rate_text(e["clients_in_bits_per_s"]), "all KNs"),
            ("KNs to clients", rate_text(e["clients_out_bits_per_s"]), "all KNs"),
            ("DPM to KNs", rate_text(e["fabric_read_bits_per_s"]), "lookups"),
            ("KNs to DPM", rate_text(e["fabric_write_bits_per_s"]), "logs; compaction stays inside the DPM")]
    return "\n".join(columns(rows, right=(1,)))


def main():
    to = parser(PROG, __doc__)
    to.add_argument("--keys", type=scaled(COUNTS), required=True, metavar="N", help="items; 100m is 100 million")
    to.add_argument("--value-bytes", type=scaled(SIZES), required=True, metavar="SIZE", help="of a value, the mean; to 60k")
    to.add_argument("--ops", type=scaled(COUNTS), required=True, metavar="N", help="operations a second, of all clients")
    to.add_argument("--key-bytes", type=scaled(SIZES), default=24, metavar="N", help="of a key, to 250; default 24")
    to.add_argument("--reads", type=share, default=0.95, metavar="SHARE", help="share of GETs; default 0.95")
    to.add_argument("--theta", type=not_negative, default=0.99, metavar="X",
                    help="skew (Zipf) of the keys; 0 uniform; default 0.99")
    to.add_argument("--cache-bytes", type=scaled(SIZES), metavar="SIZE", help="of all KNs; default: what --rts needs")
    to.add_argument("--rts", type=not_negative, default=0.5, metavar="X", help="round trips a GET wanted; default 0.5")
    to.add_argument("--pack", type=scaled(COUNTS), default=8, metavar="N", help="operations a datagram; default 8")
    to.add_argument("--port", choices=sorted(DATAGRAM_NS), default="memif",
                    help="kind of port that a datagram's CPU time is taken of; a NIC with a DPDK driver is nearest to "
                         "memif (default)")
    to.add_argument("--datagram-ns", type=not_negative, metavar="NS", help="your own figure instead")
    to.add_argument("--lcores-per-kn", type=scaled(COUNTS), default=8, metavar="N", help="worker lcores; default 8")
    to.add_argument("--json", action="store_true", help="JSON instead of a table")
    load = to.parse_args()
    if load.key_bytes > 250 or load.value_bytes > 60 << 10:
        to.error("a key has at most 250 bytes, a value at most 60k")
    found = estimate(load)
    print(json.dumps(found) if load.json else text(found))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
