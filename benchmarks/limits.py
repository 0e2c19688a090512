"""How near the kernels come to what one core can do at most.

For each kernel the operations and the bytes that it can't do without, counted on the system that it
ran on, and the least time that the peak rates of :func:`benchmarks.machine.peak` leave for them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data, neighbors, reading, valence, voronoi
from benchmarks.harness import interleave, median
from benchmarks.neighbors import CUTOFF
from pyhpc import kernels
from pyhpc.crystals import read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.harness import Effort, Run
    from pyhpc import CrystalBatch
    from pyhpc.records import Record

FLOPS = ("AVX-512 FMA, GFLOP/s", "AVX2 FMA, GFLOP/s")
"""Rates of operations, the first that the machine has."""

CACHE = "reads from 256 KiB, GB/s"
FRESH = "writes to fresh memory, GB/s"

PAIR_FLOP = 10
"""Operations for a pair: three differences, their squares and sum, a comparison, a square root."""

BOND_FLOP = 40
"""Operations for a bond: an exponential by a polynomial of degree 11, its argument, two sums."""

POINT_BYTES = 24
"""Coordinates of a neighbour."""

PAIR_BYTES = 36
"""Coordinates of a neighbour, its ion and occupancy."""

VALENCE_CUTOFF = 4.0
"""Bonds of the assignment of oxidation states, in angstrom."""

CUT_FLOP = 6
"""Side of a plane that a vertex is on: a scalar product, a comparison."""

VERTEX_FLOP = 12
"""Where an edge meets a plane: a division, a point on a line."""

TRIANGLE_FLOP = 60
"""Area and solid angle of a triangle of a face, of which an arctangent takes most."""


@dataclass(frozen=True)
class Limit:
    """One kernel on one system.

    Attributes
    ----------
    what, system : str
        What is computed, on what.
    atoms : int
        Sites.
    seconds : float
        Processor time on one thread.
    flop : float
        Operations in double precision. Additions, multiplications, comparisons, divisions and
        square roots count one each.
    bytes : float
        Read and written.
    note : str
        Where the rest of the time goes.
    way : str
        The peak rate that bounds the bytes.
    """

    what: str
    system: str
    atoms: int
    seconds: float
    flop: float
    bytes: float
    note: str = ""
    way: str = CACHE

    is_violated = False
    """Times are never judged."""

    def least(self, peak: Mapping[str, float]) -> float | None:
        """Seconds at peak rates, the larger of operations and bytes; None without rates."""
        flops = next((peak[rate] for rate in FLOPS if rate in peak), None)
        rate = peak.get(self.way)
        if flops is None or rate is None:
            return None
        return 1e-9 * max(self.flop / flops, self.bytes / rate)


def run(effort: Effort) -> Iterator[Limit]:
    """Count and time each kernel."""
    yield from _neighbor_lists(effort)
    yield from _sums(effort)
    yield from _valences(effort)
    yield from _voronoi(effort)
    yield from _reading(effort)


def timed(what: str, effort: Effort, run: Run) -> float:
    """Processor time of a work, the median of its repetitions."""
    return median(interleave([(what, run)], effort)[what].times)


def _neighbor_lists(effort: Effort) -> Iterator[Limit]:
    points = data.random_points(500 if effort.quick else 50_000)
    salt = data.sodium_chloride(4 if effort.quick else 16)
    for system, batch in (("random points", points), ("NaCl", salt)):
        yield _neighbor_list(system, batch, effort)


def _neighbor_list(system: str, batch: CrystalBatch, effort: Effort) -> Limit:
    """Full list: what has to be done for the pairs that are found, and the arrays made."""

    def run() -> kernels.NeighborList:
        return kernels.neighbor_list(batch, CUTOFF, threads=1)

    pairs = run()
    moved = sum(a.nbytes for a in (pairs.i, pairs.j, pairs.shifts, pairs.distances))
    return Limit(
        f"neighbour list, {CUTOFF:g} A",
        system,
        batch.n_sites,
        timed("pyhpc", effort, run),
        flop=PAIR_FLOP * len(pairs.i),
        bytes=moved,
        note="the search runs twice, to count and to write, and tests atoms beyond the cutoff",
        way=FRESH,
    )


def _sums(effort: Effort) -> Iterator[Limit]:
    """Bond-valence sums over the pairs of opposite charge."""
    for system, ions in neighbors.ionic(quick=effort.quick):

        def run(ions: CrystalBatch = ions) -> object:
            return kernels.bond_valence_sums(ions, cutoff=CUTOFF, threads=1)

        pairs = kernels.neighbor_list(ions, CUTOFF, threads=1)
        charges = ions.oxidation_states
        bonds = int(np.sum(charges[pairs.i] != charges[pairs.j]))
        yield Limit(
            f"sums over pairs, {CUTOFF:g} A",
            system,
            ions.n_sites,
            timed("pyhpc", effort, run),
            flop=(PAIR_FLOP + BOND_FLOP) * bonds,
            bytes=POINT_BYTES * bonds,
            note="atoms tested in vain, vectors that the bonds of a site do not fill, the grid",
        )


def _valences(effort: Effort) -> Iterator[Limit]:
    """Bond valences of unlike elements; the search has no least number of operations."""
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else valence.N_CRYSTALS).batch
        batch = batch.with_oxidation_states(np.full(len(batch.atomic_numbers), np.nan))
        batch = data.without_symmetry(data.ordered(batch, valence.MAX_SITES))

        def run(batch: CrystalBatch = batch) -> object:
            return kernels.assign_oxidation_states(batch, threads=1)

        pairs = kernels.neighbor_list(batch, VALENCE_CUTOFF, threads=1)
        elements = batch.atomic_numbers
        bonds = int(np.sum(elements[pairs.i] != elements[pairs.j]))
        yield Limit(
            "oxidation states",
            name,
            batch.n_sites,
            timed("pyhpc", effort, run),
            flop=PAIR_FLOP * len(pairs.i) + BOND_FLOP * bonds,
            bytes=PAIR_BYTES * len(pairs.i),
            note="the grid of each crystal, groups of sites, the exact search over neutral sums: "
            "comparisons and branches, no arithmetic to speak of",
        )


def _voronoi(effort: Effort) -> Iterator[Limit]:
    """Cells that are cut by the planes of their faces and by no other."""
    points = data.random_points(100 if effort.quick else 10_000)
    yield _cells("random points", points, effort)
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else voronoi.N_CRYSTALS).batch
        batch = data.without_symmetry(data.ordered(batch, voronoi.MAX_SITES))
        yield _cells(name, batch, effort)


def _cells(system: str, batch: CrystalBatch, effort: Effort) -> Limit:
    def run() -> object:
        return kernels.voronoi(batch, alternatives=False, threads=1)

    listed = kernels.voronoi(batch, alternatives=False, faces=True, threads=1).faces
    assert listed is not None
    faces = np.diff(listed.site_offsets).astype(float)
    # k faces have 2 k - 4 vertices, from k = 4 on, which the next plane is tried on. Each is an end
    # of 3 edges, each edge a side of 2 triangles.
    tests, vertices = np.sum((faces - 1) * (faces - 4)), np.sum(2 * faces - 4)
    return Limit(
        "Voronoi cells",
        system,
        batch.n_sites,
        timed("pyhpc", effort, run),
        flop=CUT_FLOP * tests + VERTEX_FLOP * vertices + TRIANGLE_FLOP * 3 * vertices,
        bytes=PAIR_BYTES * float(np.sum(faces)),
        note=f"{np.mean(faces):.1f} faces a cell; vertices that are cut off again, neighbours "
        "whose planes cut nothing, edges that are followed one by one, half-filled vectors",
    )


def _reading(effort: Effort) -> Iterator[Limit]:
    """Text in, arrays out."""
    for name in data.available(quick=effort.quick):
        chosen = data.sample(name, 12 if effort.quick else reading.N_CRYSTALS)
        records = [chosen.records[k] for k in chosen.positions]

        def run(records: list[Record] = records) -> object:
            return read_records(records, threads=1)

        arrays = (getattr(chosen.batch, field.name) for field in fields(chosen.batch))
        made = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
        yield Limit(
            "CIF text to cell",
            name,
            chosen.batch.n_sites,
            timed("pyhpc", effort, run),
            flop=0,
            bytes=sum(len(record.text) for record in records) + made,
            note="characters one by one, digits to doubles, branches on what comes; then images, "
            "their merging and the checks",
        )
