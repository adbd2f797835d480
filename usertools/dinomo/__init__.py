# SPDX-License-Identifier: BSD-3-Clause
"""Client of the Dinomo key-value store, over libdinomo-client.

    import dinomo
    with dinomo.Client("kn1,kn2:11300") as client:
        client.put("colour", "blue", ttl_ms=60_000)
        client.get("colour")                    # b"blue", or None
        client.get_many(["a", "b"])             # {"a": b"...", ...}: those that are there
        client.incr("visits", create=True)      # 1

    async with dinomo.AsyncClient("kn1") as client:   # asyncio
        await client.get("colour")
"""
from .aio import AsyncClient
from .client import (Client, DinomoError, Exists, InvalidArgument, Item, KnInfo, NotFound, NotNumber, NotStored,
                     OutcomeUnknown, Result, Status, Timeout, Unreachable, op)

__all__ = ["AsyncClient", "Client", "DinomoError", "Exists", "InvalidArgument", "Item", "KnInfo", "NotFound",
           "NotNumber", "NotStored", "OutcomeUnknown", "Result", "Status", "Timeout", "Unreachable", "op"]
