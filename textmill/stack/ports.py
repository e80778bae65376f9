"""Finding ports. A port found free may be taken a moment later; its child then says so."""

from __future__ import annotations

import socket

from textmill.errors import PortTaken


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without it a port in TIME_WAIT looks taken, though a server could have it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free(host: str) -> int:
    """A free port chosen by the system."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def claim(host: str, port: int) -> int:
    """The port asked for, or a free one for 0.

    Raises:
        PortTaken: something listens there, or the address is not ours.
    """
    if port == 0:
        return any_free(host)
    if not is_free(host, port):
        raise PortTaken(
            f"port {port} on {host} is taken by another program; "
            f"stop it, or choose another with --port (0 takes any free one)"
        )
    return port


def free_near(host: str, port: int, *, tries: int = 20) -> int:
    """The first free port at or after `port`, else any free one."""
    return next((p for p in range(port, port + tries) if is_free(host, p)), None) or any_free(host)
