"""How redis-py spells the address of a broker."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit


def client_url(celery_url: str) -> str:
    """The same server in redis-py's spelling; the two differ for sockets only."""
    if not celery_url.startswith("redis+socket://"):
        return celery_url
    parts = urlsplit(celery_url)
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.path}?db={database}"
