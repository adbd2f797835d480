# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the Python module against the server that DINOMO_SERVER names; python_test.py runs them where
there is one. The module has to be importable."""
import asyncio
import contextlib
import json
import os
import socket
import threading
import time
import unittest

import dinomo
from dinomo import op


def silent_port():
    """A UDP port at which somebody listens and never answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


class Blocking(unittest.TestCase):
    def setUp(self):
        self.client = dinomo.Client()
        self.addCleanup(self.client.close)

    def test_put_get_delete(self):
        version = self.client.put("colour", "blue", item_flags=7)
        self.assertEqual(self.client.get("colour"), b"blue")
        item = self.client.get_item(b"colour")
        self.assertEqual((item.value, item.version, item.item_flags, item.expiry_unix_ms),
                         (b"blue", version, 7, 0))
        self.assertNotEqual(self.client.put("colour", b"red"), version)
        self.assertTrue(self.client.delete("colour"))
        self.assertFalse(self.client.delete("colour"))
        self.assertIsNone(self.client.get("colour"))
        self.assertEqual(self.client.get("colour", "none"), "none")
        self.assertIsNone(self.client.get_item("colour"))

    def test_any_bytes(self):
        key, value = bytes(range(250)), bytes(range(256)) * 240
        self.client.put(key, bytearray(value))
        self.assertEqual(self.client.get(memoryview(key)), value)
        self.client.put(key, b"")
        self.assertEqual(self.client.get(key), b"")
        self.client.put("grün", "größer")
        self.assertEqual(self.client.get("grün".encode()).decode(), "größer")

    def test_many(self):
        items = {f"many{i}": f"value {i}" for i in range(3000)}
        self.client.put_many(items)
        found = self.client.get_many([*items, "absent"])
        self.assertEqual(found, {k: v.encode() for k, v in items.items()})
        counters = self.client.counters()
        self.assertLess(counters["datagrams_out"], counters["transmissions"] / 4)
        results = self.client.call_many([op.put("a", "1"), op.get("absent"), op.get(""), op.delete("many1")])
        self.assertEqual([r.status.name for r in results], ["OK", "NOT_FOUND", "INVALID", "OK"])

    def test_conditional(self):
        c = self.client
        for key in ("cond", "cond2", "text"):
            c.delete(key)
        with self.assertRaises(dinomo.NotStored):
            c.replace("cond", "x")
        with self.assertRaises(dinomo.NotStored):
            c.append("cond", "x")
        first = c.add("cond", "one", item_flags=3)
        with self.assertRaises(dinomo.Exists):
            c.add("cond", "two")
        c.append("cond", "-end")
        latest = c.prepend("cond", "begin-")
        self.assertEqual(c.get_item("cond")[:3], (b"begin-one-end", latest, 3))
        with self.assertRaises(dinomo.Exists) as caught:
            c.cas("cond", first, "three")
        self.assertEqual(caught.exception.status, dinomo.Status.EXISTS)
        c.cas("cond", latest, "three")
        c.replace("cond", "four")
        self.assertEqual(c.get("cond"), b"four")
        with self.assertRaises(dinomo.NotFound):
            c.cas("cond2", latest, "x")

    def test_counters(self):
        c = self.client
        c.delete("count")
        with self.assertRaises(dinomo.NotFound):
            c.incr("count")
        self.assertEqual(c.incr("count", create=True, initial=40), 40)
        self.assertEqual(c.incr("count", 2), 42)
        self.assertEqual(c.decr("count"), 41)
        self.assertEqual(c.decr("count", 100), 0)
        self.assertEqual(c.incr("count", 2**64 - 1), 2**64 - 1)
        self.assertEqual(c.incr("count", 2), 1)
        c.put("text", "forty-two")
        with self.assertRaises(dinomo.NotNumber):
            c.incr("text")

    def test_expiry(self):
        c = self.client
        c.put("short", "v", ttl_ms=10_000)
        self.assertGreater(c.get_item("short").expiry_unix_ms, time.time() * 1000 - 60_000)
        c.touch("short", 0)
        self.assertEqual(c.get_item("short").expiry_unix_ms, 0)
        item = c.get_and_touch("short", 1)
        self.assertEqual(item.value, b"v")
        deadline = time.monotonic() + 30
        while c.get("short") is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertIsNone(c.get("short"))
        with self.assertRaises(dinomo.NotFound):
            c.touch("short", 1000)
        self.assertIsNone(c.get_and_touch("short", 1000))

    def test_looking_around(self):
        self.assertGreater(self.client.ping(), 0)
        self.assertIn("gets", json.loads(self.client.stats()))
        kns = self.client.kns()
        self.assertEqual(sum(kn.partitions for kn in kns), 4096)
        self.assertGreater(self.client.ping(kns[0].kn_slot), 0)
        self.assertGreaterEqual(kns[0].workers, 1)
        self.assertIn(":", kns[0].address)

    def test_queue(self):
        seen = []
        for i in range(10):
            self.client.submit(op.put(f"q{i}", str(i)), lambda r, i=i: seen.append((i, r.status)))
        self.client.flush()
        while self.client.in_flight():
            self.client.poll(100)
        self.assertEqual(sorted(seen), [(i, dinomo.Status.OK) for i in range(10)])

    def test_threads_take_turns(self):
        wrong = []

        def work(number):
            for i in range(100):
                value = f"{number}.{i}".encode()
                self.client.put(f"thread{number}", value)
                if self.client.get(f"thread{number}") != value:
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Refusals(unittest.TestCase):
    def test_arguments(self):
        with dinomo.Client() as client:
            for bad in (lambda: client.get(""), lambda: client.get(b"k" * 251),
                        lambda: client.put("k", b"v" * 61_441), lambda: client.put("k", "v", ttl_ms=-1),
                        lambda: client.put("k", "v", item_flags=2**32), lambda: client.incr("k", -1)):
                with self.assertRaises(dinomo.InvalidArgument):
                    bad()
            self.assertEqual(client.counters()["submitted"], 0)
            with self.assertRaises(TypeError):
                client.put("k", 5.0)

    def test_int_is_no_value(self):
        with dinomo.Client() as client, self.assertRaises(TypeError):
            client.put("k", 5)  # bytes(5) would be five zeros

    def test_opening(self):
        with self.assertRaisesRegex(dinomo.Unreachable, "no-such-host.invalid"):
            dinomo.Client("no-such-host.invalid")
        with self.assertRaisesRegex(dinomo.InvalidArgument, r"host\[:port\]"):
            dinomo.Client("127.0.0.1:port")
        with self.assertRaisesRegex(TypeError, "in_flight_max"):
            dinomo.Client(in_flight=5)
        with self.assertRaisesRegex(dinomo.InvalidArgument, "in_flight_max"):
            dinomo.Client(in_flight_max=65_001)

    def test_silence_and_nobody(self):
        sock, address = silent_port()
        with contextlib.closing(sock), dinomo.Client(address, deadline_ms=100) as client:
            with self.assertRaises(dinomo.Timeout):
                client.put("k", "v")
        with dinomo.Client(address, deadline_ms=100) as client, self.assertRaises(dinomo.Unreachable):
            client.get("k")

    def test_closed(self):
        client = dinomo.Client()
        ended = []
        client.submit(op.put("k", "v"), ended.append)
        client.close()
        client.close()
        self.assertEqual([r.status for r in ended], [dinomo.Status.CLOSED])
        with self.assertRaisesRegex(dinomo.DinomoError, "closed"):
            client.get("k")

    def test_fork(self):
        with dinomo.Client() as client:
            client.put("fork", "v")
            child = os.fork()
            if child == 0:
                try:
                    client.get("fork")
                except dinomo.DinomoError as error:
                    os._exit(0 if "fork" in str(error) else 1)
                os._exit(2)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(client.get("fork"), b"v")


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_gathered_operations_travel_together(self):
        async with dinomo.AsyncClient(in_flight_max=64) as client:
            await asyncio.gather(*(client.put(f"async{i}", str(i)) for i in range(500)))
            values = await asyncio.gather(*(client.get(f"async{i}") for i in range(500)))
            self.assertEqual(values, [str(i).encode() for i in range(500)])
            found = await client.get_many(["async1", "absent"])
            self.assertEqual(found, {"async1": b"1"})
            self.assertTrue(await client.delete("async1"))
            self.assertIsNone(await client.get("async1"))
            with self.assertRaises(dinomo.InvalidArgument):
                await client.get("")
            self.assertGreater(await client.ping(), 0)

    async def test_others_go_on_meanwhile(self):
        sock, address = silent_port()
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        with contextlib.closing(sock):
            async with dinomo.AsyncClient(address, deadline_ms=200) as client:
                ticker = asyncio.create_task(tick())
                with self.assertRaises(dinomo.Timeout):
                    await client.get("k")
                ticker.cancel()
        self.assertGreater(ticks, 3)

    async def test_closing_ends_what_waits(self):
        sock, address = silent_port()
        with contextlib.closing(sock):
            client = dinomo.AsyncClient(address, in_flight_max=1)
            tasks = [asyncio.create_task(client.get("k")) for _ in range(3)]  # two wait for room
            await asyncio.sleep(0.02)
            client.close()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        self.assertEqual([e.status for e in ended], [dinomo.Status.CLOSED] * 3)

    async def test_a_cancelled_await_does_no_harm(self):
        async with dinomo.AsyncClient() as client:
            task = asyncio.create_task(client.put("k", "v"))
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertTrue(await client.put("k2", "v"))


if __name__ == "__main__":
    unittest.main()
