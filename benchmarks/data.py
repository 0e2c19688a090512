"""Crystals to measure on: the shipped ones always, the development data where it is."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyhpc.crystals import iter_records, read_records
from pyhpc.gallery import crystals_path

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from pyhpc import CrystalBatch
    from pyhpc.records import Record

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "gallery": crystals_path(),
    "obelix": SHARED_DATA / "obelix" / "cifs.tar.gz",
    "mp": SHARED_DATA / "mp" / "mp_cifs_a.tar.gz",
}


@dataclass(frozen=True)
class Sample:
    """Some records of one set, read by pyhpc; pymatgen reads the same text on demand."""

    name: str
    records: list[Record]
    batch: CrystalBatch
    positions: list[int]

    def structure(self, crystal: int) -> Structure:
        """Structure of one crystal as pymatgen reads it."""
        from pymatgen.io.cif import CifParser

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = self.records[self.positions[crystal]].text.decode("latin-1")
            return CifParser.from_str(text).parse_structures(primitive=False)[0]


def available() -> list[str]:
    """Names of the sets that are on this machine."""
    return [name for name, path in SETS.items() if path.exists()]


def sample(name: str, step: int = 1, limit: int | None = None) -> Sample:
    """Every ``step``-th record of a set, ``limit`` at most."""
    records = list(itertools.islice(iter_records([SETS[name]]), 0, None, step))[:limit]
    result = read_records(records)
    return Sample(name, records, result.batch, [int(k) for k in result.positions])
