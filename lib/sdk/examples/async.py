#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""asyncio: what is begun in one turn of the event loop travels together.

    python3 async.py kn1:11300
"""
import asyncio
import sys

import dinomo

ITEMS = 1000


async def main():
    async with dinomo.AsyncClient(sys.argv[1] if len(sys.argv) > 1 else None) as client:
        await asyncio.gather(*(client.put(f"item{i}", f"value {i}") for i in range(ITEMS)))
        values = await asyncio.gather(*(client.get(f"item{i}") for i in range(ITEMS)))
        right = sum(value == f"value {i}".encode() for i, value in enumerate(values))
        print(f"{right} of {ITEMS} read back")
        return 0 if right == ITEMS else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except dinomo.DinomoError as error:
        sys.exit(f"{error}")
