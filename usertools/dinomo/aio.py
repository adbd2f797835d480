# SPDX-License-Identifier: BSD-3-Clause
"""The client for asyncio. What is begun in one turn of the event loop travels together:

    values = await asyncio.gather(*(client.get(key) for key in keys))
"""
import asyncio

from .client import DinomoError, Handle, Operations, Result, Status


class AsyncClient(Operations):
    """Belongs to the event loop in which it is made. Methods and options as Client's; methods are to be
    awaited. An operation whose await is cancelled goes on; nobody learns how it ends."""

    _IDLE_NS = 1_000_000_000

    def __init__(self, servers=None, **options):
        self._handle = Handle(servers, **options)  # resolves names: blocks shortly
        self._loop = asyncio.get_running_loop()
        self._timer = None
        self._flush_due = False
        self._for_room = []  # futures of those that wait for in_flight_max to allow more
        self._loop.add_reader(self._handle.fd(), self._turn)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def close(self):
        """What is in flight ends with Status.CLOSED."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(handle.fd())
        handle.close()
        self._say_room()

    def _turn(self):
        """Flushes, receives, repeats what is due, and says when it has to be called again."""
        self._flush_due = False
        if self._handle is None:
            return
        if self._handle.poll(0) != 0:
            self._say_room()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._handle.in_flight() != 0:
            delay_s = (self._handle.idle_ns(self._IDLE_NS) + 1000) / 1e9
            self._timer = self._loop.call_later(delay_s, self._turn)

    def _say_room(self):
        waiting, self._for_room = self._for_room, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def call(self, operation):
        """A Result; never raises for what the operation ends with."""
        while True:
            if self._handle is None:
                raise DinomoError(Status.CLOSED, "the client has been closed")
            future = self._loop.create_future()
            status = self._handle.submit(operation, lambda r, f=future: f.done() or f.set_result(r))
            if status != Status.FULL:
                break
            room = self._loop.create_future()
            self._for_room.append(room)
            await room
        if status != Status.OK:
            return Result.of_status(status, operation.opcode)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._turn)
        return await future

    async def call_many(self, operations):
        """A list of Results in the order of the operations."""
        return await asyncio.gather(*(self.call(operation) for operation in operations))

    async def _run(self, operation, outcome):
        return outcome(await self.call(operation))

    async def _run_many(self, operations, outcome):
        return outcome(await self.call_many(operations))
