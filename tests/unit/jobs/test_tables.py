"""CSV as Python's csv reads it, refused where it cannot be read as it was meant."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import MalformedBody, PayloadTooLarge, RequestError
from jobs.rows.reading import TABLE
from tests.support.rows import CUTS, TEXTS, reader, rows_of


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    CUTS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_cells_are_those_of_pythons_csv_to_the_last_line_end(
    pairs: list[tuple[str, str]], cuts: list[int], line_end: str, delimiter: str
) -> None:
    """W19: CRLF inside quotes became LF."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator=line_end, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "note"])
    writer.writerows(pairs)
    text = written.getvalue()
    oracle = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)][1:]
    rows = rows_of(TABLE, text.encode(), cuts=cuts, delimiter=delimiter)
    assert [(r.fields["text"], r.fields["metadata"]["note"]) for r in rows if r.fields] == oracle == pairs


def test_offsets_into_a_cell_count_the_callers_characters() -> None:
    """W19: `start` was 94 where the caller counts 97."""
    context = "A report.\r\nOf three lines.\r\nIt was written by Ada."
    (row,) = rows_of(TABLE, f'text,context\r\nWho?,"{context}"\r\n'.encode())
    assert row.offered["context"] == context


def test_rows_are_named_by_the_line_they_begin_on() -> None:
    body = b'text,custom_id\n"two\r\nlines\rand three",a\nplain,b\nonly-one-field\n1,2,3\n'
    rows = rows_of(TABLE, body)
    assert [row.line for row in rows] == [2, 5, 6, 7]
    assert [row.problem for row in rows[2:]] == [
        "1 fields, but the header has 2",
        "3 fields, but the header has 2; a text that holds the delimiter needs quotes",
    ]


def test_a_field_of_a_mebibyte_is_read() -> None:
    text = "x" * (1 << 20)
    (row,) = rows_of(TABLE, f'text\n"{text}"\n'.encode(), max_line_bytes=(1 << 20) + 10)
    assert row.fields == {"text": text}


# -- quotes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (b'text,n\na,1\n"never closed,2\nb,3\nc,4\n', 3, "is not closed"),
        (b'text,n\n"never closed,2\n"b",3\n"c",4\n', 2, "closes on line 3"),
        (b'text,n\n"fine\nup to here","never closed\nb,3\n', 3, "is not closed"),
        (b'text,n\r\na,1\r\nb,"x ""y" z"\r\n', 3, "a quote is written twice"),
        (b'text\n"never closed\n' + b"line\n" * 50_000, 2, "longer than 1000 bytes"),
    ],
)
def test_a_broken_quote_is_reported_where_it_opens(body: bytes, line: int, message: str) -> None:
    """H10: an unclosed quote on line 2 was reported at the last line."""
    row = rows_of(TABLE, body)[-1]
    assert row.line == line
    assert row.problem is not None
    assert "not valid CSV" in row.problem
    assert message in row.problem


def test_a_row_over_many_lines_has_the_limit_of_a_line() -> None:
    def endless() -> Iterable[bytes]:
        yield b'text,n\na,1\nb,"\n'
        for _ in range(300):
            yield b"x" * 99 + b"\n"
        pytest.fail("an endless row was read")

    *_, last = reader(TABLE).rows(endless())
    assert (last.line, last.fields) == (3, None)
    with pytest.raises(PayloadTooLarge, match="line 2"):
        rows_of(TABLE, b"text\n" + b"x" * 1001)


# -- the header --------------------------------------------------------------------


def test_excels_empty_columns_are_no_columns() -> None:
    """H5: `id,text,,` was refused because it "names a column twice"."""
    rows = rows_of(TABLE, b"id,text,,\r\n1,a,,\r\n2,b\r\n3,c,,,,\r\n4,d,x,\r\n,,,\r\n,,,\r\n")
    assert [(row.line, row.fields) for row in rows] == [
        (2, {"text": "a", "metadata": {"id": "1"}}),
        (3, {"text": "b", "metadata": {"id": "2"}}),
        (4, {"text": "c", "metadata": {"id": "3"}}),
        (5, {"text": "d", "metadata": {"id": "4", "column_3": "x"}}),
    ]


@pytest.mark.parametrize(
    ("body", "line"), [(b"text,n\na,1\n\n,\n,\nb,2\n", 4), (b'text\na\n""\n', 3), (b"text,n\n,1\n", 2)]
)
def test_an_empty_row_among_others_is_never_lost_in_silence(body: bytes, line: int) -> None:
    """H9, a relative: rows left out would shift all that follow."""
    (empty,) = [row for row in rows_of(TABLE, body) if row.problem or not (row.fields or {}).get("text")]
    assert empty.line == line


def test_the_index_that_pandas_writes_has_no_name() -> None:
    """H5, a relative: `DataFrame.to_csv()` with its nameless first column."""
    rows = rows_of(TABLE, b",text\n0,a\n1,b\n")
    assert [row.fields for row in rows] == [
        {"text": "a", "metadata": {"column_1": "0"}},
        {"text": "b", "metadata": {"column_1": "1"}},
    ]


@pytest.mark.parametrize(
    "header",
    [b"custom_id,text", b'"custom_id","text"', b" custom_id , text ", b"\n\n,,\ncustom_id,text"],
)
def test_names_are_found_in_quotes_and_spaces_and_below_blank_rows(header: bytes) -> None:
    (row,) = rows_of(TABLE, b"\xef\xbb\xbf" + header + b"\n7,fine\n")
    assert row.fields == {"custom_id": "7", "text": "fine"}


def test_a_header_with_spaces_before_its_quotes_says_how_its_rows_are_written() -> None:
    (row,) = rows_of(TABLE, b'"id", "text"\n"1", "fine, really"\n')
    assert row.fields == {"text": "fine, really", "metadata": {"id": "1"}}


@pytest.mark.parametrize(
    ("body", "expected", "message"),
    [
        (b"a,text,b,a\n1,2,3,4\n", MalformedBody, r"'a' \(columns 1, 4\)"),
        (b"name,stars\nx,1\n", RequestError, r"no column 'text'.*columns: name, stars.*text_column"),
        (b"text\n\xff\xfe\n", MalformedBody, "line 2.*encoding=cp1252"),
        (b'{"text": "a"}\n', RequestError, "looks like JSON"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(
    body: bytes, expected: type[RequestError], message: str
) -> None:
    """H5: duplicates are named with their places."""
    with pytest.raises(expected, match=message):
        rows_of(TABLE, body)


def test_a_nameless_columns_position_that_is_a_name_already_is_marked() -> None:
    (row,) = rows_of(TABLE, b"column_3,text,\n1,fine,2\n")
    assert row.fields == {"text": "fine", "metadata": {"column_3": "1", "column_3_": "2"}}


def test_a_header_of_many_nameless_columns_takes_no_time() -> None:
    body = b"column_2,text" + b"," * 200_000 + b"\n1,fine\n"
    (row,) = rows_of(TABLE, body, max_line_bytes=1 << 20)
    assert row.fields == {"text": "fine", "metadata": {"column_2": "1"}}


# -- delimiters --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe"), (";", ";"), ("\t", "\\t")]
)
def test_another_delimiter_is_named_in_the_refusal_and_taken_as_an_option(delimiter: str, name: str) -> None:
    """H7: semicolons and tabs were refused without an option."""
    body = f"id{delimiter}review\n1{delimiter}good, really\n".encode()
    with pytest.raises(RequestError, match=r"delimiter=(semicolon|tab|pipe)"):
        rows_of(TABLE, body, roles={"text": "review"})
    (row,) = rows_of(TABLE, body, roles={"text": "review"}, delimiter=name)
    assert row.fields == {"text": "good, really", "metadata": {"id": "1"}}


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_excels_line_that_names_the_delimiter_is_honoured(first: str) -> None:
    """H7: `sep=;` was taken for the header."""
    (row,) = rows_of(TABLE, f"{first}\r\nid;text\r\n1;a, b\r\n".encode())
    assert (row.line, row.fields) == (3, {"text": "a, b", "metadata": {"id": "1"}})


@pytest.mark.parametrize("value", ["", "ab", '"', "\n"])
def test_what_cannot_be_a_delimiter_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="delimiter"):
        reader(TABLE, delimiter=value)


# -- columns -----------------------------------------------------------------------


def test_columns_named_as_our_fields_are_metadata_and_said_so() -> None:
    """H8: a table of cars: "model 'Civic' is not served"."""
    notes: list[str] = []
    body = b"model,task,params,text\nCivic,commute,6-speed,Great car\n"
    (row,) = rows_of(TABLE, body, note=notes.append)
    assert row.fields == {
        "text": "Great car",
        "metadata": {"model": "Civic", "task": "commute", "params": "6-speed"},
    }
    assert "'task', 'model', 'params'" in notes[0]


def test_a_role_makes_a_column_a_field() -> None:
    """H8: the way out."""
    body = b'nr,engine,what,opts,review,model,text\n7,m-qa,qa,"{""top_k"": 2}",fine,Civic,x\n'
    roles = {"id": "nr", "model": "engine", "task": "what", "params": "opts", "text": "review"}
    (row,) = rows_of(TABLE, body, roles=roles)
    assert row.fields == {
        "custom_id": "7",
        "model": "m-qa",
        "task": "qa",
        "params": {"top_k": 2},
        "text": "fine",
        "metadata": {"model": "Civic", "text": "x"},
    }


def test_a_column_of_params_that_is_no_json_is_named() -> None:
    (row,) = rows_of(TABLE, b"text,opts\na,x=1\n", roles={"params": "opts"})
    assert (row.line, row.problem_field, row.problem) == (2, "params", "the column must hold a JSON object")


def test_a_role_may_be_given_with_the_spaces_of_the_header() -> None:
    (row,) = rows_of(TABLE, b"id, review \n1,fine\n", roles={"text": " review "})
    assert row.fields == {"text": "fine", "metadata": {"id": "1"}}


def test_a_table_that_alone_can_say_the_task_says_it() -> None:
    body = b"task,model,text\nsentiment,m-sentiment,fine\n"
    (row,) = rows_of(TABLE, body, is_mixed=True)
    assert row.fields == {"task": "sentiment", "model": "m-sentiment", "text": "fine"}
    (row,) = rows_of(TABLE, b"model,text\nCivic,fine\n", is_mixed=True)
    assert row.fields == {"text": "fine", "metadata": {"model": "Civic"}}


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"id": ""}, "id_column is empty"),
        ({"id": "nr"}, "no column 'nr'.*id_column"),
        ({"id": "a", "text": "a"}, "'a' is given more than one"),
    ],
)
def test_a_role_of_a_column_that_is_not_there_is_refused(roles: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        rows_of(TABLE, b"a,text\n1,fine\n", roles=roles)
