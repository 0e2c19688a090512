"""Voronoi cells of all sites, each one cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import data, reference
from benchmarks.harness import Comparison, Ladder, Work
from pyhpc import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.harness import Effort, Row
    from pyhpc import CrystalBatch

LIMIT = 1e-9
N_CRYSTALS = 100
MAX_SITES = 60
CHECKED = 12
"""Cells whose volume is compared with Qhull's."""

VORONOI_NN = {"cutoff": 8.0, "compute_adj_neighbors": False, "extra_nn_info": False}
"""Faster than its defaults (13 angstrom), with the same cells in these crystals."""

VORONOI_NN_SITES = 20
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
FREUD_SIZES = 100_000


def run(effort: Effort) -> Iterator[Row]:
    """Compare cells of ordered crystals and of random points."""
    compare = Comparison("voronoi", "Voronoi cells", "relative volume", LIMIT)
    for name in data.available(quick=effort.quick):
        batch = data.sample(name, 12 if effort.quick else 2 * N_CRYSTALS).batch
        batch = data.without_symmetry(data.ordered(batch, MAX_SITES))
        system = data.system(name, batch)
        yield from compare.rows(system, effort, _ours(batch), [_freud(batch)])
        yield from _voronoi_nn(name, batch, effort)
    ladder = Ladder(effort, power=1.0)
    for n in SIZES[: 1 if effort.quick else None]:
        batch = data.random_points(n)
        ours, peers = _ours(batch), [_freud(batch)] if n <= FREUD_SIZES else []
        if not ladder.affords(ours.name, n):
            continue
        for row in compare.rows(data.system("random points", batch), effort, ours, peers):
            ladder.note(ours.name, n, row.ours)
            yield row


def _ours(batch: CrystalBatch, sites: np.ndarray | None = None) -> Work:
    return Work(
        "pyhpc",
        lambda: lambda: kernels.voronoi(batch, sites, alternatives=False, threads=1),
        lambda found: _error(batch, found.sites, found.volumes),
    )


def _freud(batch: CrystalBatch) -> Work:
    def prepare() -> Callable[[], np.ndarray]:
        import freud

        freud.parallel.set_num_threads(1)
        systems = []
        for one in data.split(batch):
            box = freud.box.Box.from_matrix(_upper_triangular(one.lattices[0]))
            systems.append((box, box.wrap(box.make_absolute(one.frac_coords % 1.0))))
        cells = freud.locality.Voronoi()
        return lambda: np.concatenate([cells.compute(s).volumes.copy() for s in systems])

    everything = np.arange(batch.n_sites)
    return Work("freud (voro++)", prepare, lambda v: _error(batch, everything, v), "freud")


def _voronoi_nn(name: str, batch: CrystalBatch, effort: Effort) -> Iterator[Row]:
    """One site each of some crystals."""
    few = batch.select(range(min(len(batch), 3 if effort.quick else VORONOI_NN_SITES)))
    chosen = few.site_offsets[:-1]
    mask = np.zeros(few.n_sites, dtype=bool)
    mask[chosen] = True

    def prepare(**settings: Any) -> Callable[[], np.ndarray]:
        from pymatgen.analysis.local_env import VoronoiNN

        structures = few.to_pymatgen()
        cutter = VoronoiNN(tol=0, **settings)

        def run() -> np.ndarray:
            polyhedra = [cutter.get_voronoi_polyhedra(one, 0) for one in structures]
            return np.array([sum(face["volume"] for face in p.values()) for p in polyhedra])

        return run

    compare = Comparison("voronoi", "Voronoi cell of one site", "relative volume", LIMIT)

    def error(volumes: np.ndarray) -> float:
        return _error(few, chosen, volumes)

    peers = [
        Work("VoronoiNN", lambda: prepare(**VORONOI_NN), error, "pymatgen"),
        Work("VoronoiNN, defaults", prepare, error, "pymatgen"),
    ]
    system = data.System(name, len(few), len(few))
    yield from compare.rows(system, effort, _ours(few, mask), peers)


def _error(batch: CrystalBatch, sites: np.ndarray, volumes: np.ndarray) -> float:
    """Largest relative error of some volumes, and of the sum where all sites are there."""
    crystals = batch.site_crystals[sites]
    errors = []
    if len(sites) == batch.n_sites:
        sums = np.bincount(crystals, volumes, minlength=len(batch))
        errors += list(np.abs(sums / np.abs(np.linalg.det(batch.lattices)) - 1))
    small = np.diff(batch.site_offsets)[crystals] <= 1_000
    rows = np.flatnonzero(small)
    for row in rows[:: max(1, len(rows) // CHECKED)][:CHECKED]:
        one = batch.select([crystals[row]])
        exact = reference.voronoi_volume(one, int(sites[row] - batch.site_offsets[crystals[row]]))
        errors.append(abs(volumes[row] / exact - 1))
    return float(max(errors))


def _upper_triangular(lattice: np.ndarray) -> np.ndarray:
    """Columns of the same lattice turned as freud wants it: a along x, b in the xy plane."""
    _, r = np.linalg.qr(lattice.T)
    signs = np.sign(np.diag(r))
    return signs[:, None] * r
