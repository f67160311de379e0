"""How much may be sent, and how often: numbers and pure arithmetic, no clock and no thread.

Measured reasons (JupyterLab 4.6, jupyter_server 2.21): nothing pushes back. A send returns in
0.5 ms whatever waits in the server, 60 frames of 1 MB a second made a slider answer after 26 s,
and a server keeps every message for a lost socket in memory (80 MB in 27 s) to replay it later.
"""

from dataclasses import dataclass, field

MAX_FRAME_BYTES = 260_000
MIN_FRAME_BYTES = 16_000
SPARSE_FRAME_BYTES = 64_000
"""First frame limit while nobody answers."""
LEAST_LIMIT_BYTES = 60_000
"""Frame limit of the slowest line that answers."""
WINDOW = 2
"""Frames under way to one view before the next has to wait for an ack."""
PATIENCE_S = 2.0
"""Un-acked for so long: nobody hears us."""
SILENT_PATIENCE_S = 8.0
"""The same for content that is never acked, told by the missing words of presence (every 5 s)."""
UNREQUESTED_BYTES_PER_S = 1_000_000
MESSAGES_PER_S = 200
"""Far below 1000 a second, where the server starts to drop messages of all widgets."""
MIN_INTERVAL_S = 0.01
"""Shortest distance of two sends of one stream, urgent ones too: a frame lasts 16 ms anyway."""
MAX_UNACKED_BYTES = 20_000_000
"""Never more under way after the browser stopped answering."""
BLIND_BURST_BYTES = 20_000_000
BLIND_BYTES_PER_S = BLIND_BURST_BYTES / 86_400
"""Together at most 40 MB in any 24 hours where no answer was ever possible, beside what goes out
before patience ends (8.5 MB): below 50 MB a day."""
SLOWEST_S = 60.0
ACK_TARGET_S = 0.25


@dataclass(slots=True)
class TokenBucket:
    """Allows ``rate`` units a second after a burst of ``capacity``; one draw may go into debt."""

    rate: float
    capacity: float
    debt: float = 0.0
    """How far below zero draws may push; further draws are not remembered."""
    _level: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._level = self.capacity

    def wait_s(self, now: float, amount: float = 0.0) -> float:
        """Seconds until ``amount`` units are there (default: until there is no debt)."""
        self._refill(now)
        return max(0.0, (amount - self._level) / self.rate)

    def draw(self, now: float, amount: float) -> None:
        """Take ``amount`` units, now."""
        self._refill(now)
        self._level = max(-self.debt, self._level - amount)

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._level = min(self.capacity, self._level + self.rate * max(0.0, now - self._at))
        self._at = now


def lost_gap_s(lost_for_s: float) -> float:
    """Gap between two sends of a stream, ``lost_for_s`` after acks stopped: 1, 2, 4 ... 60 s."""
    gap_s = 1.0
    while gap_s < SLOWEST_S and lost_for_s >= 2 * gap_s - 1:
        gap_s *= 2
    return min(gap_s, SLOWEST_S)


def blind_gap_s(blind_for_s: float) -> float:
    """Gap where no answer is possible: one a second for two minutes, after an hour one a minute."""
    return min(max(1.0, (blind_for_s - 60.0) / 60.0), SLOWEST_S)


def sparse_limit_bytes(gap_s: float) -> int:
    """Frame limit while nobody answers: 64 kB at one a second, 16 kB from ten seconds on."""
    share = min(1.0, max(0.0, (gap_s - 1.0) / 9.0))
    return round(SPARSE_FRAME_BYTES + share * (MIN_FRAME_BYTES - SPARSE_FRAME_BYTES))


def adapted_limit_bytes(limit_bytes: int, size_bytes: int, took_s: float) -> int:
    """Frame limit after a frame of ``size_bytes`` took ``took_s`` to be drawn and acked.

    Shrinks in proportion so that a frame takes at most 0.25 s, and grows by a quarter while
    frames near the limit are answered well below that. Not below 60 kB, which 2 Mbit/s carry in
    0.24 s: what takes longer waits for a busy machine, and smaller frames would wait as well.
    """
    if took_s > PATIENCE_S:  # a blocked kernel is likelier than a link this slow
        limit_bytes //= 2
    elif took_s > ACK_TARGET_S:
        limit_bytes = min(limit_bytes, int(size_bytes * ACK_TARGET_S / took_s))
    elif took_s < 0.8 * ACK_TARGET_S and size_bytes * 4 >= limit_bytes:
        limit_bytes = int(limit_bytes * 1.25)
    return max(LEAST_LIMIT_BYTES, min(MAX_FRAME_BYTES, limit_bytes))
