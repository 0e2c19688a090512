"""Reasons of many records, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyhpc.records import OUTCOMES, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Reasons(Mapping[int, list[Reason]]):
    """What is said of some records: a mapping of their positions to lists of reasons.

    Held as columns: a shard's records have some thousands of reasons, of which some thirty differ.

    Attributes
    ----------
    records : array, shape (n,), int64
        The record of which something is said, ascending. What is said of one stands in the order
        in which it was said.
    said : array, shape (n,), int32
        What is said, as an index of ``distinct``.
    distinct : list of Reason
        The reasons, each once.
    """

    records: NDArray[np.int64]
    said: NDArray[np.int32]
    distinct: list[Reason]

    @classmethod
    def gather(cls, facts: Iterable[tuple[NDArray[Any] | Sequence[int], Reason]]) -> Self:
        """Gather reasons, each with some of the records of which it is said."""
        distinct: dict[Reason, int] = {}
        records, said = [], []
        for places, reason in facts:
            number = distinct.setdefault(reason, len(distinct))
            records.append(np.asarray(places, np.int64))
            said.append(np.full(len(places), number, np.int32))
        return cls._ordered(records, said, distinct)

    @classmethod
    def of(cls, reasons: Mapping[int, list[Reason]]) -> Self:
        """Make columns of any such mapping."""
        if isinstance(reasons, cls):
            return reasons
        if not reasons:
            return cls(np.empty(0, np.int64), np.empty(0, np.int32), [])
        distinct: dict[Reason, int] = {}
        records = [record for record, found in reasons.items() for _ in found]
        said = [
            distinct.setdefault(reason, len(distinct))
            for found in reasons.values()
            for reason in found
        ]
        return cls._ordered([np.array(records, np.int64)], [np.array(said, np.int32)], distinct)

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Put together what was said in turn, of the same records or of others."""
        distinct: dict[Reason, int] = {}
        records, said = [], []
        for part in parts:
            numbers = [distinct.setdefault(reason, len(distinct)) for reason in part.distinct]
            records.append(part.records)
            said.append(np.array(numbers, np.int32)[part.said])
        return cls._ordered(records, said, distinct)

    @classmethod
    def _ordered(
        cls,
        records: Sequence[NDArray[np.int64]],
        said: Sequence[NDArray[np.int32]],
        distinct: Iterable[Reason],
    ) -> Self:
        places = np.concatenate([np.empty(0, np.int64), *records])
        order = np.argsort(places, kind="stable")
        numbers = np.concatenate([np.empty(0, np.int32), *said])
        return cls(places[order], numbers[order], list(distinct))

    def at(self, positions: NDArray[np.integer[Any]]) -> Self:
        """Give the same for records that stand elsewhere.

        Parameters
        ----------
        positions : array of int
            Where each record stands, ascending.
        """
        return replace(self, records=np.asarray(positions, np.int64)[self.records])

    def by_appearance(self) -> Self:
        """Give the same with those reasons alone that are said, in the order in which they appear.

        How they were gathered and joined does not show in it.
        """
        if not self.distinct:
            return self
        # Of equal indices the last counts, which of those in reverse is the first.
        first = np.full(len(self.distinct), len(self.said))
        first[self.said[::-1]] = np.arange(len(self.said))[::-1]
        order = np.argsort(first)
        present = order[first[order] < len(self.said)]
        numbers = np.zeros(len(self.distinct), np.int32)
        numbers[present] = np.arange(len(present))
        return replace(
            self, said=numbers[self.said], distinct=[self.distinct[k] for k in present.tolist()]
        )

    def outcomes(self, count: int) -> NDArray[np.uint8]:
        """Say how each of so many records ended, which is the worst of its reasons.

        Returns
        -------
        array, shape (count,), uint8
            Indices of :data:`~pyhpc.records.OUTCOMES`.
        """
        found = np.zeros(count, np.uint8)
        if not self.distinct:
            return found
        kinds = [OUTCOMES.index(reason.outcome) for reason in self.distinct]
        np.maximum.at(found, self.records, np.array(kinds, np.uint8)[self.said])
        return found

    def __getitem__(self, record: int) -> list[Reason]:
        start, stop = np.searchsorted(self.records, [record, record + 1])
        if start == stop:
            raise KeyError(record)
        return [self.distinct[number] for number in self.said[start:stop]]

    def __iter__(self) -> Iterator[int]:
        return iter(np.unique(self.records).tolist())

    def __len__(self) -> int:
        return len(np.unique(self.records))
