"""A TCP proxy that can be slow, fall silent as a lost NAT entry or a dead switch does, and break."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class Proxy:
    """Forwards a loopback port to a unix socket until told otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._is_silent = threading.Event()
        self._delay_seconds = 0.0
        self._never = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def delay(self, seconds: float) -> None:
        """From now on every portion of bytes waits so long."""
        self._delay_seconds = seconds

    def fall_silent(self) -> None:
        """From now on bytes disappear; nobody is told, and connections stay open."""
        self._is_silent.set()

    def speak_again(self) -> None:
        """New bytes pass again; those that disappeared do not come back."""
        self._is_silent.clear()

    def reset(self) -> None:
        """Breaks every connection at once."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                end.close()

    def close(self) -> None:
        """Ends it all."""
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._target))
            except OSError:
                return
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._never.wait(self._delay_seconds)
                if not self._is_silent.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()
