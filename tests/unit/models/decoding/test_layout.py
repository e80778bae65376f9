"""Which shapes steps are made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from models.decoding.scheduling.layout import popular_shapes, shape_for

_CHUNKS = (256, 512, 1024, 2048)


@given(
    max_rows=some.sampled_from([1, 8, 20, 256, 576]),
    max_entries=some.sampled_from([128, 1024, 2048, 8192]),
    data=some.data(),
)
def test_every_shape_a_step_can_have_is_among_those_that_are_captured_ahead(
    max_rows: int, max_entries: int, data: some.DataObject
) -> None:
    num_rows = data.draw(some.integers(0, max_rows))
    longest = data.draw(some.integers(1, max_entries))
    num_prompt = data.draw(some.sampled_from([*_CHUNKS, 0] if num_rows else _CHUNKS))
    shape = shape_for(num_rows, num_prompt, max_rows, longest=longest)
    assert shape.num_rows >= num_rows
    assert shape.num_keys >= longest
    assert shape in popular_shapes(max_rows, _CHUNKS, max_entries)


def test_few_shapes_are_made_for_rows_of_one_length() -> None:
    shapes = popular_shapes(256, _CHUNKS, 512)
    assert len(shapes) == len(set(shapes)) <= 34
    assert shapes[0].num_tokens == 256 + 2048
