import itertools

from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.sctp.ranges import Ranges

spans = st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(st.one_of(spans, st.integers(0, 30))))
def test_it_is_a_set(steps):
    ranges, model = Ranges(), set()
    for step in steps:
        if isinstance(step, int):
            reached = step
            while reached + 1 in model:
                reached += 1
            assert ranges.absorb(step) == reached
            model = {number for number in model if number > reached}
        else:
            first, last = step
            added = {number for begin, end in ranges.add(first, last) for number in range(begin, end + 1)}
            assert added == set(range(first, last + 1)) - model
            model |= added
        assert {n for n in range(60) if n in ranges} == model
        pairs = list(zip(ranges.starts, ranges.ends, strict=True))
        assert all(end + 1 < start for (_, end), (start, _) in itertools.pairwise(pairs))
        assert all(start <= end for start, end in pairs)
        assert len(ranges) == len(pairs)
