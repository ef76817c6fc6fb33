from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from idscope.frontends.tls_records import RecordCounter


def record(length: int) -> bytes:
    return b"\x17\x03\x03" + length.to_bytes(2) + bytes(length)


def test_whole_records_are_counted() -> None:
    counter = RecordCounter()
    assert counter.feed(record(0)) == 1
    assert counter.feed(record(1) + record(300) + record(16640)) == 3
    assert counter.feed(b"") == 0


def test_a_record_in_pieces_is_counted_with_its_last() -> None:
    counter = RecordCounter()
    whole = record(100) + record(50)
    assert [counter.feed(whole[:20]), counter.feed(whole[20:105]), counter.feed(whole[105:])] == [0, 1, 1]


def test_a_piece_that_ends_within_a_record_says_nothing() -> None:
    counter = RecordCounter()
    assert counter.feed(record(10) + record(20)[:10]) == 0
    assert counter.feed(record(20)[10:]) == 1


@given(st.lists(st.integers(0, 400), max_size=8), st.data())
def test_it_never_counts_what_is_not_there(lengths: list[int], data: st.DataObject) -> None:
    stream = b"".join(map(record, lengths))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    counter = RecordCounter()
    ends = {0: 0}
    for number, length in enumerate(lengths, 1):
        ends[max(ends) + 5 + length] = number
    position = complete = 0
    for cut in [*cuts, len(stream)]:
        counted = counter.feed(stream[position:cut])
        before, complete = complete, max(number for end, number in ends.items() if end <= cut)
        position = cut
        assert counted in (0, complete - before)
        assert counted == 0 or cut in ends
