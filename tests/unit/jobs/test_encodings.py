"""Bytes in other encodings and packings, read as they were meant or refused by name."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import MalformedBody, PayloadTooLarge, RequestError, UnsupportedMediaType
from jobs.rows.compression import gunzip
from jobs.rows.encoding import to_utf8
from jobs.rows.reading import JSON, TABLE, TEXT
from tests.support.rows import CUTS, TEXTS, chunks_of, reader, rows_of

packed = partial(gzip.compress, mtime=0)


@given(TEXTS, CUTS, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_a_byte_order_mark_says_the_encoding(text: str, cuts: list[int], encoding: str) -> None:
    """H6: UTF-16 was refused in a decoder's words, a BOM before JSON too."""
    found = b"".join(to_utf8(chunks_of(text.encode(encoding), cuts), charset="utf-8"))
    assert found.decode() == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_nul_bytes_between_letters_say_the_encoding(encoding: str) -> None:
    """H6: UTF-16 without a mark."""
    text = "A caf\u00e9, \u65e5\u672c"
    body = f'{{"text": "{text}"}}\n'.encode(encoding)
    for options in ({}, {"charset": encoding[:6]}, {"encoding": encoding[:6]}):
        assert [row.fields for row in rows_of(JSON, body, cuts=(3, 11), **options)] == [{"text": text}]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("caf\u00e9 \u20ac5", "cp1252"),
        ("caf\u00e9", "ISO-8859-1"),
        ("\u65e5\u672c\u8a9e", "shift_jis"),
        ("\u4e2d\u6587", "gb18030"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", "koi8-r"),
        ("caf\u00e9", "ascii"),  # what is declared ASCII and is not is UTF-8
    ],
)
@pytest.mark.parametrize("said_by", ["charset", "encoding"])
def test_a_declared_charset_is_what_is_read(text: str, encoding: str, said_by: str) -> None:
    """H6: `charset=` was ignored. The oracle is Python's codec."""
    body = f"text\n{text}\n".encode("utf-8" if encoding == "ascii" else encoding)
    assert [row.fields for row in rows_of(TABLE, body, cuts=(6, 7), **{said_by: encoding})] == [
        {"text": text}
    ]


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (b"a", {"encoding": "rot13"}, "'rot13' is unknown"),
        (b"a", {"encoding": "idna"}, "'idna' is unknown"),
        (b"a", {"charset": "x-nonsense"}, "charset 'x-nonsense' is unknown"),
        (b"\xef\xbb\xbfa", {"encoding": "cp1252"}, "byte order mark says: it is utf-8"),
        (b"good\nb\x81d\n", {"encoding": "cp1252"}, "line 2: not valid cp1252"),
        (b"good\nb\x81", {"encoding": "shift_jis"}, "line 2: not valid shift_jis"),
        ("a\nb".encode("utf-16")[:-1], {}, "line 2: not valid utf-16-le"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(body: bytes, options: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        rows_of(TEXT, body, **options)


# -- gzip --------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), CUTS, st.booleans())
def test_gzip_is_unpacked_as_gzip_does(parts: list[bytes], cuts: list[int], is_padded: bool) -> None:
    body = b"".join(packed(part) for part in parts) + b"\0" * (64 * is_padded)
    assert b"".join(gunzip(chunks_of(body, cuts), max_bytes=2000)) == gzip.decompress(body)


@pytest.mark.parametrize("options", [{}, {"is_gzip": True}])
def test_gzip_is_known_by_its_bytes_and_by_its_header(options: dict[str, bool]) -> None:
    """H6: gzip bytes were 41 lines about surrogates."""
    body = packed(b"text\nfine\n")
    assert [row.fields for row in rows_of(TABLE, body, cuts=(1, 9), **options)] == [{"text": "fine"}]


def test_a_bomb_is_refused_at_the_limit_of_a_body() -> None:
    """H6: whatever gzip bytes become is bounded, in memory and in time."""
    bomb = packed(b"some text\n" * 5_000_000)
    assert len(bomb) < 200_000
    sizes: list[int] = []
    with pytest.raises(PayloadTooLarge, match=r"unpacked.* 1000000 bytes"):
        sizes.extend(len(piece) for piece in gunzip([bomb], max_bytes=1_000_000))
    assert max(sizes) <= 1 << 18
    with pytest.raises(PayloadTooLarge):
        rows_of(TEXT, bomb, max_body_bytes=500_000)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (packed(b"text" * 100)[:-5], "cut off"),
        (packed(b"text" * 100)[:-8] + b"\xff" * 8, "damaged"),
        (packed(b"text") + b"garbage", "damaged"),
    ],
)
def test_damaged_gzip_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(MalformedBody, match=message):
        rows_of(TEXT, body)


def test_a_header_that_lies_about_gzip_is_refused() -> None:
    with pytest.raises(MalformedBody, match="Content-Encoding says gzip"):
        rows_of(TEXT, b"plain\n", is_gzip=True)


# -- what is not text --------------------------------------------------------------


def excel_file() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return stream.getvalue()


def tar_file() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return stream.getvalue()


@pytest.mark.parametrize("kind", [JSON, TABLE, TEXT])
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (excel_file(), "Excel"),
        (tar_file(), "tar"),
        (packed(tar_file()), "tar"),
        (packed(packed(b"a")), "gzip data inside gzip"),
        (b"PAR1\x15\x04\x15\x10", "Parquet"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
        (b"BZh91AY&SY\x01", "bzip2"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "old Excel"),
        (b"%PDF-1.7\n", "PDF"),
    ],
)
def test_what_is_not_text_is_refused_by_its_name(kind: str, body: bytes, what: str) -> None:
    """H6: archives and tables of other programs are refused once, with what to do."""
    with pytest.raises(UnsupportedMediaType, match=what):
        rows_of(kind, body)


def test_text_that_begins_like_an_archive_is_text() -> None:
    rows = rows_of(TEXT, b"BZh is not an archive\nPK neither\n")
    assert [row.fields["text"] for row in rows if row.fields] == ["BZh is not an archive", "PK neither"]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    def stream() -> Iterator[bytes]:
        yield b"x" * 2000 + b"\n"
        pytest.fail("more than the beginning was read")

    next(iter(reader(TEXT, max_line_bytes=5000).rows(stream())))


def test_options_that_do_not_fit_the_format_are_refused() -> None:
    with pytest.raises(RequestError, match="delimiter is for tables"):
        reader(JSON, delimiter=";")
    with pytest.raises(RequestError, match="no columns"):
        reader(TEXT, roles={"text": "review"})
