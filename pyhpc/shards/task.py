"""What can be run over shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.records import Reason, Record


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What a task makes of some records.

    Attributes
    ----------
    table : pyarrow.Table
        One row per record that is not quarantined, in the order of the records; the first column
        is ``id``. Its schema is that of the task.
    positions : sequence or array of int
        Record of each row, as a position in the sequence that was passed.
    reasons : mapping of int to list of Reason
        What is to be said of the records, by the same positions; quickest as
        :class:`~pyhpc.reasons.Reasons`. A record without a row has a reason whose outcome is
        quarantined, and a missing value has a reason.
    seconds : dict of str to float
        Time by stage.
    """

    table: pa.Table
    positions: Sequence[int] | NDArray[np.int64]
    reasons: Mapping[int, list[Reason]]
    seconds: dict[str, float]


class Task(Protocol):
    """A computation over records, one row each.

    A task is sent to other processes, so it pickles, and is small. What it makes of a record does
    not depend on the other records of the call, nor on the number of threads, bit for bit: shards
    are cut, halved and repeated at will.
    """

    @property
    def name(self) -> str:
        """Key of :data:`pyhpc.tasks.TASKS`."""

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the result depends on beside the records and the versions; JSON-able."""

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the code and hashes of the data tables in this process."""

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table, with its metadata."""

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Make the task from what :attr:`parameters` gave; bad ones are a ``PyhpcError``."""

    def run(self, records: Sequence[Record], *, threads: int = 1) -> TaskResult:
        """Treat some records, or none, on this many threads."""
