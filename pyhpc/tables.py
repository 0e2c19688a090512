"""The project's tables of facts, as the compiled kernels hold them."""

from __future__ import annotations

import csv
import hashlib

from pyhpc import _kernels

TABLES: dict[str, str] = _kernels.tables()
"""Text of each table by name: CSV after ``#`` comment lines that name sources and units."""


def rows(name: str) -> list[dict[str, str]]:
    """Rows of a table, by column name; an empty cell is an empty string."""
    lines = [line for line in TABLES[name].splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def hashes() -> dict[str, str]:
    """SHA-256 of each table, for the metadata of what was computed with it."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TABLES.items()}
