"""Sets of sequence numbers that have few gaps, as both ends of an association keep them of TSNs."""

from __future__ import annotations

from bisect import bisect_left


class Ranges:
    """A set of integers, as ascending ranges that neither overlap nor touch. Both edges of a range are in it."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self.starts)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self.ends, number)
        return at < len(self.starts) and self.starts[at] <= number

    def add(self, first: int, last: int) -> list[tuple[int, int]]:
        """Add a range; returns the parts of it that weren't in the set."""
        starts, ends = self.starts, self.ends
        begin = end = bisect_left(ends, first)
        added: list[tuple[int, int]] = []
        position = first
        while end < len(starts) and starts[end] <= last:
            if position < starts[end]:
                added.append((position, starts[end] - 1))
            position = ends[end] + 1
            end += 1
        if position <= last:
            added.append((position, last))
        if not added:
            return added
        if begin > 0 and ends[begin - 1] == first - 1:
            begin -= 1
        if end < len(starts) and starts[end] == last + 1:
            end += 1
        if begin < end:
            first, last = min(first, starts[begin]), max(last, ends[end - 1])
        starts[begin:end] = [first]
        ends[begin:end] = [last]
        return added

    def absorb(self, number: int) -> int:
        """Forget all up to ``number``, and the range that follows it without a gap; returns where that ends."""
        count = 0
        for start, end in zip(self.starts, self.ends, strict=True):
            if start > number + 1:
                break
            number = max(number, end)
            count += 1
        del self.starts[:count]
        del self.ends[:count]
        return number

    def clear(self) -> None:
        """Forget all."""
        self.starts.clear()
        self.ends.clear()
