"""A TCP proxy that can stop forwarding: what a closed laptop or a lost network looks like."""

import contextlib
import socket
import threading
from typing import Self

from tests.browser.patience import WAIT_S

CHUNK_BYTES = 65536


class StallingProxy:
    """Forwards one loopback port to another.

    ``stall()`` leaves every connection open and forwards nothing; ``resume()`` goes on where it
    stopped; ``cut()`` resets all connections, new ones are served again.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._valve = threading.Condition()
        self._flowing = True
        self._passing = 0
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self.forwarded_bytes = 0
        """Bytes sent on towards the browser."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Forward nothing from now on, in either direction; what is under way gets through."""
        with self._valve:
            self._flowing = False
            assert self._valve.wait_for(lambda: not self._passing, WAIT_S)

    def resume(self) -> None:
        """Forward again."""
        with self._valve:
            self._flowing = True
            self._valve.notify_all()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._closed = True
        self.resume()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                browser.close()
                continue
            with self._lock:
                self._sockets |= {browser, server}
            for source, sink, counted in ((browser, server, False), (server, browser, True)):
                threading.Thread(
                    target=self._forward, args=(source, sink, counted), daemon=True
                ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._valve:  # before reading: unread bytes fill the sender's own buffers
                    self._valve.wait_for(lambda: self._flowing)
                data = source.recv(CHUNK_BYTES)
                self._pass_on(data, sink, counted)
                if not data:
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, data: bytes, sink: socket.socket, counted: bool) -> None:
        with self._valve:
            self._valve.wait_for(lambda: self._flowing)
            self._passing += 1
        try:
            sink.sendall(data)
        finally:
            with self._valve:
                self._passing -= 1
                self.forwarded_bytes += len(data) if counted else 0
                self._valve.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
