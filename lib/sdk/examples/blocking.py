#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One operation at a time, and several in one go.

    python3 blocking.py kn1:11300
"""
import sys

import dinomo


def main():
    with dinomo.Client(sys.argv[1] if len(sys.argv) > 1 else None) as client:
        client.put("sky", "blue", ttl_ms=60_000, item_flags=7)
        item = client.get_item("sky")
        print("sky =", item.value.decode(), "flags", item.item_flags)

        client.put_many({"grass": "green", "snow": "white"})
        print(client.get_many(["sky", "grass", "snow", "no such key"]))  # in a few datagrams

        # Change it only if nobody else has: the version is what it was when it was read.
        try:
            client.cas("sky", item.version, "grey")
        except dinomo.Exists:
            print("somebody was faster")

        client.delete("visits")
        visits = [client.incr("visits", create=True, initial=1) for _ in range(3)]
        print("visits", visits)
        for key in ("sky", "grass", "snow", "visits"):
            client.delete(key)
        return 0 if visits == [1, 2, 3] and client.get("sky") is None else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except dinomo.DinomoError as error:  # no server, no answer in time, ...
        sys.exit(f"{error}")
