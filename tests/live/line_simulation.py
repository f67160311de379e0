"""A line with a greedy sender: every stream always has something new, of the largest size."""

import math
from collections import deque

from nbtorchviz.live.flow import Flow, StreamFlow


class Line:
    """Time jumps from one possible send to the next; views answer when the test says so."""

    def __init__(self, streams=("frame", "curve"), *, loose=(), wired=True):
        self.now = 1000.0
        self.flow = Flow(wired=wired)
        self.streams = [StreamFlow(name) for name in streams]
        self.streams += [StreamFlow(name, acked=False) for name in loose]
        for stream in self.streams:
            self.flow.add(stream)
        self.seq = 0
        self.log = deque()  # (time, stream, seq, size_bytes)
        self.check = lambda line: None

    def sent_bytes(self, since=-math.inf):
        return sum(size for at, _, _, size in self.log if at >= since)

    def send(self, stream, size=None, **how):
        assert self.flow.wait_s(stream, self.now, **how) == 0
        self.seq += 1
        size = self.flow.limit_bytes(self.now) if size is None else size
        self.flow.sent(stream, self.seq, size, self.now)
        self.log.append((self.now, stream.name, self.seq, size))
        return self.seq

    def ack(self, view="v", concurrent=True):
        for stream in self.streams:
            if stream.acked and stream.under_way:
                newest = stream.under_way[-1].seq
                self.flow.acked(stream, view, newest, self.now, concurrent=concurrent)

    def run(self, seconds, *, urgent=False, steps=False, answer=None, most=10**9):
        """Send whenever allowed; ``answer()`` may ack after each send."""
        end = self.now + seconds
        sends = 0
        while self.now < end and sends < most:
            if steps:
                self.flow.boundary(self.now)
            waits = {s: self.flow.wait_s(s, self.now, urgent=urgent) for s in self.streams}
            for stream, wait_s in waits.items():
                if wait_s == 0 and self.flow.wait_s(stream, self.now, urgent=urgent) == 0:
                    self.send(stream, urgent=urgent)
                    sends += 1
                    self.check(self)
            if answer is not None:
                answer()
            soonest = min(self.flow.wait_s(s, self.now, urgent=urgent) for s in self.streams)
            step_s = 1.0 if steps else math.inf
            self.now += max(1e-4, min(soonest, step_s, end - self.now))
