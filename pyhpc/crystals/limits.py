"""Bounds against hostile or broken input."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one source, one record and one crystal may ask for.

    What is over a limit is quarantined with the reason code named here; it never stops a run.

    Parameters
    ----------
    max_text_bytes : int
        Bytes of one file, archive member, table cell or trajectory frame, decompressed
        (``text_too_large``). A block or frame that is refused for its size is never in memory as
        a whole.
    max_ratio : float
        Bytes that a compressed file may unpack to in total, relative to its own size
        (``archive_ratio``).
    ratio_floor : int
        Compressed files that unpack to fewer bytes than this are never refused for their ratio.
    max_blocks : int
        Data blocks of one CIF (``too_many_blocks``).
    max_loop_rows : int
        Rows of a loop that is read: sites, operators, atom types (``too_many_rows``).
    max_sites : int
        Sites of one crystal after expansion (``too_many_sites``).
    min_cell_edge, max_cell_edge : float
        Edges of the cell and distances of its lattice planes, in angstrom (``cell_edge``).

    Raises
    ------
    ValueError
        If a limit is not positive.
    """

    max_text_bytes: int = 16 * 1024**2
    max_ratio: float = 200.0
    ratio_floor: int = 64 * 1024**2
    max_blocks: int = 10_000
    max_loop_rows: int = 100_000
    max_sites: int = 20_000
    min_cell_edge: float = 0.5
    max_cell_edge: float = 1e4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} = {value} must be positive")


DEFAULT_LIMITS = Limits()
"""The limits unless told otherwise."""
