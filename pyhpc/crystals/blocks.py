"""Where the data blocks of a CIF lie, without parsing it."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

# A header at the start of its line, which is how every program writes it. One elsewhere stays in
# the block before it, and reading that record reports several blocks.
_HEADER = re.compile(rb"^[ \t]*data_(\S*)", re.IGNORECASE | re.MULTILINE)
_SEMICOLON = re.compile(rb"^;", re.MULTILINE)
_COORDINATES = re.compile(
    rb"^[ \t]*_atom_site_(?:fract|cartn)_x(?!\S)", re.IGNORECASE | re.MULTILINE
)


class Block(NamedTuple):
    """Name and byte range of a block that holds a structure."""

    name: str
    start: int
    stop: int


def count_headers(text: bytes, most: int) -> int:
    """Count what looks like block headers, up to ``most + 1``; 1 may also mean none."""
    # Nearly all files have one block, and this tells twenty times faster than the pattern.
    if text.lower().count(b"data_") <= 1:
        return 1
    count = 0
    for _ in _HEADER.finditer(text):
        count += 1
        if count > most:
            break
    return count


def structure_blocks(text: bytes) -> list[Block]:
    """List the blocks that hold atomic coordinates, in order.

    What is inside text fields (between lines that start with a semicolon) is text.
    """
    semicolons = [match.start() for match in _SEMICOLON.finditer(text)]

    def outside_text(match: re.Match[bytes]) -> bool:
        return bisect_right(semicolons, match.start()) % 2 == 0

    headers = list(filter(outside_text, _HEADER.finditer(text)))
    ends = [match.start() for match in headers[1:]] + [len(text)]
    return [
        Block(match[1].decode("utf-8", "replace"), match.start(), end)
        for match, end in zip(headers, ends, strict=True)
        if any(map(outside_text, _COORDINATES.finditer(text, match.start(), end)))
    ]
