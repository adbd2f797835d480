# SPDX-License-Identifier: BSD-3-Clause
"""Overwrites the end of every open log segment of a pool file with garbage, as a write that was cut
short by a crash would leave it. Knows the formats of doc/formats.md: segment header and entry.

A torn write is one that was never acknowledged, so only bytes after the last valid entry are
touched.
"""
import mmap
import struct

SEGMENT_MAGIC = struct.pack("<Q", 0x31544745534D4E44)
SEGMENT_HEADER_BYTES = 128
ENTRY_HEADER = struct.Struct("<QQIHBBBBHIQQQ")
STATE_OPEN = 1
END = 4


def entry_bytes(key_bytes, value_bytes):
    return (ENTRY_HEADER.size + key_bytes + value_bytes + 63) // 64 * 64


def end_of_entries(pool, at, segment_bytes, generation):
    """Walks entries of the segment's generation with dense LSNs; checksums are the DPM's business."""
    position, lsn = at + SEGMENT_HEADER_BYTES, None
    while position + ENTRY_HEADER.size <= at + segment_bytes:
        fields = ENTRY_HEADER.unpack_from(pool, position)
        _, entry_lsn, entry_generation, _, op, _, key_bytes, _, value_bytes = fields[:9]
        if entry_generation != generation or entry_lsn == 0 or (lsn is not None and entry_lsn != lsn + 1):
            break
        lsn = entry_lsn
        position += entry_bytes(key_bytes, value_bytes)
        if op == END:
            break
    return position


def overwrite(path, chance, segment_bytes=(8 << 20) - 64, tear_bytes=4096):
    """Returns how many segments were torn."""
    torn = 0
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as pool:
        at = pool.find(SEGMENT_MAGIC)
        while at >= 0:
            generation, = struct.unpack_from("<I", pool, at + 8)
            state, = struct.unpack_from("<I", pool, at + 64)
            if at % 64 == 0 and state == STATE_OPEN:
                start = end_of_entries(pool, at, segment_bytes, generation)
                end = min(start + tear_bytes, at + segment_bytes)
                if end > start:
                    garbage = bytearray(chance.randbytes(end - start))
                    # Half of the time it looks like the beginning of a true entry.
                    if chance.random() < 0.5 and end - start >= 64:
                        struct.pack_into("<I", garbage, 16, generation)
                    pool[start:end] = bytes(garbage)
                    torn += 1
            at = pool.find(SEGMENT_MAGIC, at + 64)
    return torn
