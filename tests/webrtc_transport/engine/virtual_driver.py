"""A driver whose time is the test's: nothing sleeps, and everything happens in one order."""

from heapq import heappop, heappush
from itertools import count

from webrtc_transport.engine.driver import Driver


class Timer:
    def __init__(self, callback):
        self.callback = callback

    def cancel(self):
        self.callback = None


class VirtualDriver(Driver):
    def __init__(self):
        self.time = 1000.0
        self._timers = []
        self._numbers = count()

    def now(self):
        return self.time

    def call_soon(self, callback, *args):
        self.call_at(self.time, lambda: callback(*args))

    def call_at(self, when, callback):
        timer = Timer(callback)
        heappush(self._timers, (max(when, self.time), next(self._numbers), timer))
        return timer

    def add_reader(self, sock, callback):
        raise AssertionError("there are no sockets in virtual time")

    def remove_reader(self, sock):
        raise AssertionError("there are no sockets in virtual time")

    async def resolve(self, host, port, *, family=0):
        raise AssertionError("there are no names in virtual time")

    @property
    def pending(self):
        """Timers that are neither over nor cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def run(self, until, limit=60.0):
        """Let time pass until a condition holds, and return the seconds that it took."""
        started = self.time
        while not until():
            assert self._timers, "nothing will happen any more"
            self.time, _, timer = heappop(self._timers)
            assert self.time - started < limit, f"it has not happened within {limit} s"
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
        return self.time - started
