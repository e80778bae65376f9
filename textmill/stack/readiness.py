"""When the stack may be called ready, and what it waits for until then."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from textmill.errors import StackError
from textmill.stack.supervisor import Child, describe_exit, tail
from textmill.terminal.words import how_computed

_FLOWER_PATIENCE_SECONDS = 20.0  # it is a view: a slow one delays nobody for longer than this
_PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """How a model stands, as `/readyz` says."""

    name: str
    is_served: bool
    has_failed: bool  #: its workers tried and could not load it
    text: str  #: which way it is computed, or why it is not served


class Readiness:
    """Asks the API's own `/readyz`, which looks at SQL, Redis and worker progress."""

    def __init__(
        self,
        url: str,
        children: Sequence[Child],
        *,
        flower_url: str | None,
        has_workers: bool,
        api_key: str | None = None,
        client: httpx2.Client | None = None,
    ) -> None:
        # Without workers the API can be alive, never ready.
        self._probe = f"{url}/readyz" if has_workers else f"{url}/healthz"
        self._children = children
        self._flower_url = flower_url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = client or httpx2.Client(
            timeout=_PROBE_TIMEOUT_SECONDS, trust_env=False, headers=headers
        )
        self._started_at = time.monotonic()
        self._waiting_for = "the API"
        #: how each model stood at the last look
        self.models: tuple[ModelState, ...] = ()

    def is_reached(self) -> bool:
        """Whether users can be told to come in.

        Raises:
            StackError: a child gave up in an orderly way, which a restart will not mend.
        """
        self._check_children()
        return self._is_api_ready() and self._is_flower_up()

    def waiting_for(self) -> str:
        """What was missing at the last look."""
        return self._waiting_for

    def _check_children(self) -> None:
        for child in self._children:
            code = child.ended_early
            # A signal (out of memory, a kill) may be bad luck; an exit code is a decision.
            if code is not None and code >= 0 and child.program.name != "flower":
                raise StackError(
                    f"{child.program.name} {describe_exit(code)} before the stack was ready; its log says:\n"
                    f"{tail(child.log)}"
                )

    def _is_api_ready(self) -> bool:
        try:
            answer = self._client.get(self._probe)
        except httpx2.TransportError:
            self._waiting_for = "the API"
            return False
        self.models = models_of(answer)
        if answer.status_code != 200:
            self._waiting_for = _missing(answer)
        return answer.status_code == 200

    def _is_flower_up(self) -> bool:
        if self._flower_url is None or time.monotonic() - self._started_at > _FLOWER_PATIENCE_SECONDS:
            return True
        self._waiting_for = "Flower"
        address = urlsplit(self._flower_url)
        with socket.socket() as probe:
            probe.settimeout(_PROBE_TIMEOUT_SECONDS)
            return probe.connect_ex((address.hostname or "127.0.0.1", address.port or 80)) == 0


def checks_of(answer: httpx2.Response) -> list[tuple[str, bool, str]]:
    """The checks in a `/readyz` answer: name, whether it passed, what it says."""
    return [(name, *_read_check(check)) for name, check in _part(answer, "checks").items()]


def models_of(answer: httpx2.Response) -> tuple[ModelState, ...]:
    """The models in a `/readyz` answer; empty while no worker has told of any."""
    models = _part(answer, "models").items()
    return tuple(_read_model(name, model) for name, model in models if isinstance(model, dict))


def _part(answer: httpx2.Response, name: str) -> dict[str, Any]:
    try:
        body: Any = answer.json()
    except ValueError:
        return {}
    part = body.get(name) if isinstance(body, dict) else None
    return part if isinstance(part, dict) else {}


def _read_model(name: str, model: dict[str, Any]) -> ModelState:
    if not model.get("ok"):
        text = str(model.get("message") or "it is not served")
        return ModelState(name=name, is_served=False, has_failed="error" in model, text=text)
    return ModelState(name=name, is_served=True, has_failed=False, text=how_computed(model))


def _read_check(check: object) -> tuple[bool, str]:
    if isinstance(check, dict):
        text = ", ".join(f"{key} {value}" for key, value in check.items() if key != "ok")
        return bool(check.get("ok")), text
    return check in (True, "ok"), str(check)


def _missing(answer: httpx2.Response) -> str:
    failing = [name for name, is_ok, _ in checks_of(answer) if not is_ok]
    return ", ".join(failing) or "a worker"
