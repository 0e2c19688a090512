"""Full neighbour lists with shifts and distances within 6 angstrom, and sums over such pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks import data
from benchmarks.harness import Comparison, Ladder, Work
from pyhpc import CrystalBatch, kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row

CUTOFF = 6.0
LIMIT = 1e-9
OTHER_PAIRS = 1.0
"""Error, in angstrom, of a list that holds another number of pairs."""

N_CRYSTALS = 200
SIZES = (64, 512, 4_096, 32_768, 97_336, 1_000_000)
PEER_SIZES = 100_000
"""The peers' lists of larger crystals would not leave enough memory."""

SODIUM, CHLORINE = 11, 17
R0, B = 2.15, 0.37
"""Bond-valence parameters of Na+ and Cl- in Brown's table, in angstrom."""

PairArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def run(effort: Effort) -> Iterator[Row]:
    """Compare lists on batches of crystals, random points and rock salt of growing size."""
    compare = Comparison("neighbors", f"neighbour list, {CUTOFF:g} A", "A", LIMIT)
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else N_CRYSTALS).batch
        yield from compare.rows(data.system(name, batch), effort, *_works(batch))
    batch = data.random_points(500 if effort.quick else 50_000)
    yield from compare.rows(data.system("random points", batch), effort, *_works(batch))
    ladder = Ladder(effort, power=1.0)
    for n in SIZES[: 2 if effort.quick else None]:
        batch = data.sodium_chloride(round((n / 8) ** (1 / 3)))
        ours, peers = _works(batch)
        peers = [p for p in peers if n <= PEER_SIZES and ladder.affords(p.name, n)]
        for row in compare.rows(data.system("NaCl", batch), effort, ours, peers):
            ladder.note(row.peer, n, row.theirs)
            yield row
    yield from _sums(effort)


def _sums(effort: Effort) -> Iterator[Row]:
    """Bond-valence sums: pairs are streamed into them here, listed and then summed by the peer."""
    compare = Comparison("neighbors", f"sums over pairs, {CUTOFF:g} A", "relative", LIMIT)
    for name, ions in ionic(quick=effort.quick):
        yield from compare.rows(data.system(name, ions), effort, *_sum_works(ions))


def ionic(*, quick: bool) -> Iterator[tuple[str, CrystalBatch]]:
    """Rock salt, and its ions at random points."""
    yield "NaCl", data.sodium_chloride(4 if quick else 12)
    points = data.random_points(500 if quick else 50_000)
    is_sodium = np.arange(points.n_sites) % 2 == 0
    yield (
        "random points",
        CrystalBatch.from_sites(
            points.lattices[0],
            points.frac_coords,
            np.where(is_sodium, SODIUM, CHLORINE),
            oxidation_states=np.where(is_sodium, 1.0, -1.0),
        ),
    )


def _sum_works(ions: CrystalBatch) -> tuple[Work, list[Work]]:
    """Sum over pairs of opposite charge; the error is the deviation from one another."""
    exact: list[np.ndarray] = []

    def with_vesin() -> Callable[[], np.ndarray]:
        import vesin

        search = vesin.NeighborList(cutoff=CUTOFF, full_list=True, n_threads=1)
        (cart,), cell, charges = _carts(ions), ions.lattices[0], ions.oxidation_states

        def run() -> np.ndarray:
            i, j, distances = search.compute(cart, cell, True, "ijd")
            bonds = np.where(charges[i] != charges[j], np.exp((R0 - distances) / B), 0.0)
            return np.bincount(i, bonds, minlength=len(cart))

        return run

    def error(sums: np.ndarray) -> float:
        if not exact:
            exact.append(_plain_sums(ions))
        return float(np.abs(sums / exact[0] - 1).max())

    ours = Work(
        "pyhpc",
        lambda: lambda: kernels.bond_valence_sums(ions, cutoff=CUTOFF, threads=1).sums,
        error,
    )
    return ours, [Work("vesin + NumPy", with_vesin, error, "vesin")]


def _plain_sums(ions: CrystalBatch) -> np.ndarray:
    """The same by a k-d tree, in a cube."""
    from scipy.spatial import KDTree

    edges = np.diag(ions.lattices[0])
    cart = np.mod(ions.frac_coords, 1.0) % 1.0 * edges
    of_sodium = ions.atomic_numbers == SODIUM
    sums = np.zeros(len(cart))
    trees = [KDTree(cart[mask], boxsize=edges) for mask in (of_sodium, ~of_sodium)]
    pairs = trees[0].sparse_distance_matrix(trees[1], CUTOFF, output_type="ndarray")
    bonds = np.exp((R0 - pairs["v"]) / B)
    sums[of_sodium] = np.bincount(pairs["i"], bonds, minlength=of_sodium.sum())
    sums[~of_sodium] = np.bincount(pairs["j"], bonds, minlength=(~of_sodium).sum())
    return sums


def _works(batch: CrystalBatch) -> tuple[Work, list[Work]]:
    """All ways to list the pairs of a batch."""
    error = _Reference(batch)
    ours = Work(
        "pyhpc", lambda: lambda: kernels.neighbor_list(batch, CUTOFF, threads=1), error.ours
    )
    peers = [
        Work("vesin", lambda: _vesin(batch), error, "vesin"),
        Work("matscipy", lambda: _matscipy(batch), error, "matscipy"),
        Work("ASE", lambda: _ase(batch), error, "ase"),
        Work("pymatgen", lambda: _pymatgen(batch), error, "pymatgen"),
    ]
    return ours, peers


def _vesin(batch: CrystalBatch) -> Callable[[], list[PairArrays]]:
    import vesin

    def run() -> list[PairArrays]:
        found = []
        for cart, cell in zip(carts, batch.lattices, strict=True):
            i, j, shifts, distances = search.compute(cart, cell, True, "ijSd")
            found.append((i, j, shifts, distances))
        return found

    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True, n_threads=1)
    carts = _carts(batch)
    return run


def _matscipy(batch: CrystalBatch) -> Callable[[], list[PairArrays]]:
    from matscipy.neighbours import neighbour_list

    carts = _carts(batch)
    return lambda: [
        neighbour_list("ijSd", cutoff=CUTOFF, positions=cart, cell=cell, pbc=np.ones(3, dtype=bool))
        for cart, cell in zip(carts, batch.lattices, strict=True)
    ]


def _ase(batch: CrystalBatch) -> Callable[[], list[PairArrays]]:
    from ase.neighborlist import neighbor_list

    atoms = [data.points(one) for one in data.split(batch)]
    return lambda: [neighbor_list("ijSd", one, CUTOFF) for one in atoms]


def _pymatgen(batch: CrystalBatch) -> Callable[[], list[PairArrays]]:
    structures = batch.to_pymatgen()
    return lambda: [structure.get_neighbor_list(CUTOFF) for structure in structures]


def _carts(batch: CrystalBatch) -> list[np.ndarray]:
    cart = batch.cart_coords
    return [cart[a:b] for a, b in zip(batch.site_offsets, batch.site_offsets[1:], strict=False)]


class _Reference:
    """Largest deviation of a distance from its pair's in extended precision.

    A list with another number of pairs than a k-d tree counts is wrong by an angstrom. Where the
    tree can't count (it wants a cube), the number is ours, and a peer's list shows that it agrees.
    """

    def __init__(self, batch: CrystalBatch) -> None:
        self._batch = batch
        self._count: int | None = None

    def ours(self, pairs: kernels.NeighborList) -> float:
        """Error of our list."""
        self._count = self._count or _count(self._batch) or len(pairs.i)
        if len(pairs.i) != self._count:
            return OTHER_PAIRS
        error = 0.0
        for k, start in enumerate(self._batch.site_offsets[:-1]):
            rows = slice(*pairs.crystal_offsets[k : k + 2])
            i, j = pairs.i[rows] - start, pairs.j[rows] - start
            found = i, j, pairs.shifts[rows], pairs.distances[rows]
            error = max(error, _distance_error(self._batch, k, found))
        return error

    def __call__(self, lists: list[PairArrays]) -> float:
        """Error of the lists of a peer."""
        if sum(len(found[0]) for found in lists) != self._count:
            return OTHER_PAIRS
        return max(_distance_error(self._batch, k, found) for k, found in enumerate(lists))


def _count(batch: CrystalBatch) -> int | None:
    """Count the pairs of one crystal in a cube with a k-d tree."""
    from scipy.spatial import KDTree

    edges = np.diag(batch.lattices[0])
    cubic = len(batch) == 1 and np.array_equal(np.diag(edges), batch.lattices[0])
    if not cubic or edges.min() < 2 * CUTOFF or batch.n_sites > PEER_SIZES:
        return None
    wrapped = np.mod(batch.frac_coords, 1.0) % 1.0
    tree = KDTree(wrapped * edges, boxsize=edges)
    # The tree counts pairs at the cutoff too, and each point with itself.
    return int(tree.count_neighbors(tree, np.nextafter(CUTOFF, 0))) - batch.n_sites


def _distance_error(batch: CrystalBatch, k: int, found: PairArrays) -> float:
    """Largest deviation of the distances of one crystal, of a million pairs at most."""
    i, j, shifts, distances = (np.asarray(values)[:1_000_000] for values in found)
    if not len(i):
        return 0.0
    frac = batch.frac_coords[slice(*batch.site_offsets[k : k + 2])].astype(np.longdouble)
    vectors = (frac[j] - frac[i] + shifts) @ batch.lattices[k].astype(np.longdouble)
    return float(np.abs(np.sqrt((vectors**2).sum(1)) - distances).max())
