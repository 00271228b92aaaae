"""Which parts of an address range are free: best fit, and free neighbours become one part.

Of the free parts the smallest that will do is cut; ground that nothing has used so far is broken
only if none will do. In a step of training the last buffers taken are the first to come back, so
free parts grow together again, and a step needs some 5 % more than its arrays do at their most.
"""

from __future__ import annotations

from bisect import bisect_left, insort


class Space:
    """Free parts of regions [start, end), by address and by size.

    Regions must not touch each other: parts of two of them are never joined.

    Attributes:
        free: bytes in parts that were used before and are free.
    """

    def __init__(self) -> None:
        self.free = 0
        self._parts: list[tuple[int, int]] = []  # (size, start), sorted
        self._sizes: dict[int, int] = {}         # by start
        self._starts: dict[int, int] = {}        # by end
        self._tops: dict[int, int] = {}          # end of a region: where its unused ground begins

    def open(self, start: int, end: int) -> None:
        """Add a region that nothing has used so far."""
        self._tops[end] = start

    def take(self, size: int, spare: int) -> tuple[int, int] | None:
        """Return (start, size) of a part of at least `size` bytes, None if there is none.

        Args:
            spare: what is left over of a part is handed out with it if it is below this.
        """
        at = bisect_left(self._parts, (size, 0))
        if at == len(self._parts):
            return self._break_ground(size)
        found, start = self._parts[at]
        self._remove(start, found)
        if found - size < spare:
            return start, found
        self._add(start + size, found - size)
        return start, size

    def give(self, start: int, size: int) -> None:
        """Take back what `take` returned."""
        if (before := self._starts.get(start)) is not None:
            self._remove(before, start - before)
            start, size = before, size + start - before
        if (after := self._sizes.get(start + size)) is not None:
            self._remove(start + size, after)
            size += after
        self._add(start, size)

    def close(self, start: int, end: int) -> bool:
        """Forget a region if nothing in it is in use, and say so."""
        top = self._tops[end]
        if top > start:
            if self._sizes.get(start) != top - start:
                return False
            self._remove(start, top - start)
        del self._tops[end]
        return True

    def _break_ground(self, size: int) -> tuple[int, int] | None:
        """Move the top of a region up; a free part that ends there is used, too."""
        for end, top in self._tops.items():
            start = self._starts.get(top, top)
            if end - start >= size:
                if start < top:
                    self._remove(start, top - start)
                self._tops[end] = start + size
                return start, size
        return None

    def _add(self, start: int, size: int) -> None:
        insort(self._parts, (size, start))
        self._sizes[start], self._starts[start + size] = size, start
        self.free += size

    def _remove(self, start: int, size: int) -> None:
        del self._parts[bisect_left(self._parts, (size, start))]
        del self._sizes[start], self._starts[start + size]
        self.free -= size
