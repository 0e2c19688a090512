"""The rows of a study, as its tables state them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING

from pyhpc.crystals.formats import stem
from pyhpc.crystals.tables import cell_text as structure_text
from pyhpc.errors import PyhpcError
from pyhpc.studies.table_files import cell_text, iter_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pyhpc.studies.job import Job

MADE_TEXTS = ("chemical_system", "formula", "anion_class", "metallic")
"""Columns of text that are made of the composition where the tables do not state them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with a target, those to train on first; at the end those with other labels alone.

    Attributes
    ----------
    ids : list of str
        Names, each once.
    cells : list of dict of str to str
        Text of each cell by column, of the columns that the job names.
    structures : list of bytes
        Text of each structure, empty where there is none; no element if the tables hold none.
    n_train : int
        Rows to train on.
    without_target : int
        Rows that were left out.
    n_auxiliary : int
        Rows at the end that have no target of their own, but one of ``target.training_labels``.
    """

    ids: list[str]
    cells: list[dict[str, str]]
    structures: list[bytes]
    n_train: int
    without_target: int
    n_auxiliary: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_scored(self) -> int:
        """Rows that have a target of their own."""
        return len(self) - self.n_auxiliary

    def column(self, name: str) -> list[str]:
        """Cells of a column."""
        return [cells[name] for cells in self.cells]

    def take(self, kept: Sequence[bool]) -> Rows:
        """Rows of a mask."""
        return replace(
            self,
            ids=list(compress(self.ids, kept)),
            cells=list(compress(self.cells, kept)),
            structures=list(compress(self.structures, kept)),
            n_train=sum(map(bool, kept[: self.n_train])),
            n_auxiliary=sum(map(bool, kept[self.n_scored :])),
        )


def read_rows(job: Job) -> Rows:
    """Read the tables of a study.

    Rows without a name are called by the file and their number, ``matbench_log_kvrh-00001`` being
    the first.

    Raises
    ------
    PyhpcError
        If a file can't be read or lacks a column, holds no row with a target, or if two rows have
        the same name.
    """
    names = [name for name in (job.data.train, job.data.test) if name]
    (train, auxiliary), *tests = [_read(job, job.data.folder / name) for name in names]
    parts = [train, *(rows for rows, _ in tests), auxiliary]
    rows = Rows(
        ids=[name for part in parts for name in part.ids],
        cells=[cells for part in parts for cells in part.cells],
        structures=[text for part in parts for text in part.structures],
        n_train=len(train),
        without_target=train.without_target
        + sum(rows.without_target + len(unknown) for rows, unknown in tests),
        n_auxiliary=len(auxiliary),
    )
    repeated = _first_repeated(rows.ids)
    if repeated is not None:
        raise PyhpcError(
            f"two rows of {' and '.join(names)} have the {job.data.id} {repeated!r}",
            "Names of rows must be unique.",
        )
    return rows


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _read(job: Job, path: Path) -> tuple[Rows, Rows]:
    """Read the rows that have a target, and those that have only another label."""
    data = job.data
    columns: list[str] = []
    scored, auxiliary = (Rows([], [], [], 0, 0, 0) for _ in range(2))
    number, without_target = -1, 0
    for number, row in enumerate(iter_rows(path)):
        if number == 0:
            columns = _columns(job, path, list(row))
        cells = {
            name: cell_text(row.get(name), f"{path}: {name} of row {number}") for name in columns
        }
        if _known(cells[job.target.column]):
            rows = scored
        elif any(_known(cells[name]) for name in job.target.training_labels):
            rows = auxiliary
        else:
            without_target += 1
            continue
        for column, renamed in data.renamed.items():
            cells[column] = renamed.get(cells[column], cells[column])
        rows.ids.append(cells[data.id] if data.id else f"{stem(path.name)}-{number + 1:05d}")
        rows.cells.append(cells)
        if data.structure:
            rows.structures.append(structure_text(row.get(data.structure)))
    if number < 0:
        _columns(job, path, [])
    if not len(scored):
        raise PyhpcError(f"{path} has no row with a {job.target.column}", "Check target.column.")
    return replace(scored, without_target=without_target), auxiliary


def _known(cell: str) -> bool:
    return cell.lower() not in ("", "nan")


def _columns(job: Job, path: Path, found: Sequence[str]) -> list[str]:
    """Columns to read: those that the job needs, and those that splits or subsets may name.

    What splits and subsets name may also be a feature, or be made of the composition.
    """
    data = job.data
    needed = [
        data.id,
        job.target.column,
        data.composition,
        data.cell_composition,
        data.space_group,
        *data.lattice,
        *data.renamed,
        *data.other_labels,
        *job.target.training_labels,
    ]
    named: list[str] = []
    for split in job.splits.values():
        if split.kind in ("grouped", "leave_one_out"):
            needed += [name for name in split.columns if name not in MADE_TEXTS]
        named += split.columns
    named += [subset.column for subset in job.subsets]
    needed += data.numbers
    for column in (*filter(None, needed), *filter(None, [data.structure])):
        if column not in found:
            raise PyhpcError(
                f"{path} has no column {column!r}", f"It has {', '.join(found) or 'no rows'}."
            )
    return list(dict.fromkeys([*filter(None, needed), *(name for name in named if name in found)]))
