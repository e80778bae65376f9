"""One try: a signed POST to an address that may be reached, within a bounded time. Its answer is a number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cached_property

import httpx2

from jobs.webhooks.addresses import Address
from jobs.webhooks.records import Answer, TargetRefused
from jobs.webhooks.targets import Target, Targets, parse_target

#: From the look-up of the name to the status line of the answer.
TRY_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
#: Of a name with many addresses, those that are tried.
_MOST_ADDRESSES = 3


class Poster:
    """Sends to wherever `Targets` allows."""

    def __init__(self, targets: Targets, *, try_seconds: float = TRY_SECONDS) -> None:
        self._targets = targets
        self._try_seconds = try_seconds

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Sends once; what goes wrong is in the answer.

        Nothing of the receiver's answer but its status is read or kept: what it says could be
        what somebody wants to find out about a network that only this server reaches.
        """
        try:
            async with asyncio.timeout(self._try_seconds):
                return await self._post(url, body, headers)
        except TimeoutError:
            return Answer(error=f"no answer within {self._try_seconds:g} seconds")
        except TargetRefused as refused:
            return Answer(error=str(refused))
        except OSError:
            return Answer(error="its host's name cannot be looked up")
        except httpx2.HTTPError as error:
            return Answer(error=_why(error))

    def close(self) -> None:
        """Waits for nothing."""
        self._targets.close()

    async def _post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        target = parse_target(url)
        found = await asyncio.wrap_future(self._targets.look_up(target))
        addresses = self._targets.reachable(target, found)[:_MOST_ADDRESSES]
        for address in addresses[:-1]:
            try:
                return await self._send(target, address, body, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # its other addresses may answer
        return await self._send(target, addresses[-1], body, headers)

    async def _send(self, target: Target, address: Address, body: str, headers: Mapping[str, str]) -> Answer:
        """Connects to this very address, and asks there for the host that was named."""
        # A client for each: a pooled connection was checked for the name of whoever opened it.
        async with httpx2.AsyncClient(
            verify=self._certificates,
            trust_env=False,  # no proxies, and no passwords of this user's
            follow_redirects=False,
            timeout=httpx2.Timeout(self._try_seconds, connect=_CONNECT_SECONDS),
        ) as client:
            request = client.build_request(
                "POST",
                target.url.copy_with(host=str(address)),
                content=body.encode(),
                headers={
                    **headers,
                    "Host": target.url.netloc.decode("ascii"),
                    "Content-Type": "application/json",
                    "User-Agent": "Textmill-Webhooks",
                    "Accept": "*/*",
                },
                extensions={"sni_hostname": target.host},
            )
            response = await client.send(request, stream=True)
            await response.aclose()
        return _read(response.status_code)

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        """Whom we believe: as httpx2 has it, or as `SSL_CERT_FILE` says."""
        return httpx2.create_ssl_context()


def _read(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(http_status=status)
    what = "redirects are not followed" if 300 <= status < 400 else "only 2xx is a success"
    return Answer(http_status=status, error=f"answered {status}: {what}")


def _why(error: httpx2.HTTPError) -> str:
    """In our own words: a library's may quote what the receiver said."""
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.ConnectError):
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        return "no connection" if cause is None else f"its certificate is not good: {cause.verify_message}"
    if isinstance(error, httpx2.RemoteProtocolError):
        return "the answer is no HTTP"
    return "the connection broke off"
