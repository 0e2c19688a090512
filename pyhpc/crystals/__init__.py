"""Reading and checking crystals."""

from pyhpc.crystals.batch import CrystalBatch
from pyhpc.crystals.limits import DEFAULT_LIMITS, Limits
from pyhpc.crystals.reader import CrystalReadError, ReadResult, read, read_records
from pyhpc.crystals.sources import SourceError, iter_records

__all__ = [
    "DEFAULT_LIMITS",
    "CrystalBatch",
    "CrystalReadError",
    "Limits",
    "ReadResult",
    "SourceError",
    "iter_records",
    "read",
    "read_records",
]
