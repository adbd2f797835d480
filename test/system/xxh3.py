# SPDX-License-Identifier: BSD-3-Clause
"""XXH3 with 64 bits, unseeded, of up to 1024 bytes: the routing hash, for the client written from
doc/protocol.md. After the specification of XXH3; the constants are its default secret and its primes."""
import struct

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
M64 = (1 << 64) - 1


def r64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def r32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & M64


def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * MX1 & M64
    return h ^ h >> 32


def avalanche64(h):
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ h >> 32


def mix16(data, at, secret_at):
    return fold(r64(data, at) ^ r64(SECRET, secret_at), r64(data, at + 8) ^ r64(SECRET, secret_at + 8))


def up_to_16(d):
    n = len(d)
    if n > 8:
        low = r64(d, 0) ^ r64(SECRET, 24) ^ r64(SECRET, 32)
        high = r64(d, n - 8) ^ r64(SECRET, 40) ^ r64(SECRET, 48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return avalanche((n + swapped + high + fold(low, high)) & M64)
    if n >= 4:
        h = (r32(d, n - 4) + (r32(d, 0) << 32)) ^ r64(SECRET, 8) ^ r64(SECRET, 16)
        h ^= rotl(h, 49) ^ rotl(h, 24)
        h = h * MX2 & M64
        h ^= (h >> 35) + n
        h = h * MX2 & M64
        return h ^ h >> 28
    if n > 0:
        combined = d[0] << 16 | d[n >> 1] << 24 | d[n - 1] | n << 8
        return avalanche64(combined ^ r32(SECRET, 0) ^ r32(SECRET, 4))
    return avalanche64(r64(SECRET, 56) ^ r64(SECRET, 64))


def up_to_240(d):
    n = len(d)
    acc = n * P64_1
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc += mix16(d, 16 * i, 32 * i) + mix16(d, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(acc & M64)
    for i in range(8):
        acc += mix16(d, 16 * i, 16 * i)
    acc = avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += mix16(d, 16 * i, 16 * (i - 8) + 3)
    return avalanche((acc + mix16(d, n - 16, 136 - 17)) & M64)


def over_240(d):
    n = len(d)
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]

    def stripe(at, secret_at):
        for i in range(8):
            data = r64(d, at + 8 * i)
            key = data ^ r64(SECRET, secret_at + 8 * i)
            acc[i ^ 1] = (acc[i ^ 1] + data) & M64
            acc[i] = (acc[i] + (key & 0xFFFFFFFF) * (key >> 32)) & M64

    for i in range((n - 1) // 64):
        stripe(64 * i, 8 * i)
    stripe(n - 64, len(SECRET) - 64 - 7)
    h = n * P64_1
    for i in range(4):
        h += fold(acc[2 * i] ^ r64(SECRET, 11 + 16 * i), acc[2 * i + 1] ^ r64(SECRET, 19 + 16 * i))
    return avalanche(h & M64)


def xxh3_64(data):
    if len(data) <= 16:
        return up_to_16(data)
    if len(data) <= 240:
        return up_to_240(data)
    if len(data) <= 1024:
        return over_240(data)
    raise ValueError("longer than any key")
