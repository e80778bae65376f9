"""Strings of others on a terminal: shown, never obeyed."""

from __future__ import annotations

import codecs
import re

#: C0 but tab and line feed, DEL, C1; line ends that are none here; and the marks that turn the
#: direction of what follows (Unicode Technical Report 36, 2.10).
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    r"""The text with what a terminal would obey written out: an escape as `\x1b`."""
    return _HARMFUL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class ShownBytes:
    """UTF-8 in pieces of any size, on its way to a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_after_cr = False

    def take(self, data: bytes) -> bytes:
        r"""What may be sent of it now; \r\n is a line end and becomes \n."""
        text = ("\r" if self._is_after_cr else "") + self._decoder.decode(data)
        self._is_after_cr = text.endswith("\r")
        return shown(text.removesuffix("\r").replace("\r\n", "\n")).encode()

    def rest(self) -> bytes:
        """What is left at the end."""
        text = ("\r" if self._is_after_cr else "") + self._decoder.decode(b"", True)  # noqa: FBT003
        self._is_after_cr = False
        return shown(text).encode()
