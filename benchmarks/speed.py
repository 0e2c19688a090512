"""Time per crystal of each kernel on one thread, beside pymatgen's on the same crystals."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.data import available, sample
from pyhpc import CrystalBatch, kernels
from pyhpc.crystals import read_records
from pyhpc.features import featurize_with_reasons

STEPS = {"gallery": 1, "obelix": 8, "mp": 500}
"""Every how manieth record of a set is timed."""

REPEATS = 5
"""Runs of which the median is taken; the peers, which are slow, run once per crystal."""

MAX_PEER_SITES = 60
"""Larger crystals are left to pyhpc alone."""

Peer = Callable[[object], object]


@dataclass(frozen=True)
class Timing:
    """One row: milliseconds per crystal."""

    what: str
    data: str
    crystals: int
    sites: float
    ours: float
    peer: str
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times faster pyhpc is."""
        return self.theirs / self.ours


def run(limit: int | None = None) -> Iterator[Timing]:
    """Time every kernel on every set that is there."""
    warnings.simplefilter("ignore")
    for name in available():
        chosen = sample(name, STEPS[name], limit)
        whole = chosen.batch
        small = np.flatnonzero(np.diff(whole.site_offsets) <= MAX_PEER_SITES)
        batch = whole.select(small)
        texts = [chosen.records[chosen.positions[k]] for k in small]
        valences = kernels.assign_oxidation_states(batch, threads=1)
        good = np.flatnonzero(valences.status == 0)
        charged = batch.with_oxidation_states(valences.oxidation_states).select(good)
        decorated = charged.to_pymatgen()
        plain = batch.to_pymatgen()
        rows: list[tuple[str, CrystalBatch, Callable[[], object], str, Peer, list[object]]] = [
            (
                "CIF text to batch",
                batch,
                lambda texts=texts: read_records(texts, threads=1),
                "CifParser",
                _parse,
                [record.text.decode("latin-1") for record in texts],
            ),
            (
                "neighbour list, 6 A",
                batch,
                lambda batch=batch: kernels.neighbor_list(batch, 6.0, threads=1),
                "get_neighbor_list",
                lambda structure: structure.get_neighbor_list(6.0),
                plain,
            ),
            (
                "symmetry",
                batch,
                lambda batch=batch: kernels.symmetry(batch, 1e-2, threads=1),
                "SpacegroupAnalyzer",
                _symmetry,
                plain,
            ),
            (
                "valences",
                batch,
                lambda batch=batch: kernels.assign_oxidation_states(batch, threads=1),
                "BVAnalyzer",
                _valences,
                plain,
            ),
            (
                "Ewald site energies",
                charged,
                lambda charged=charged: kernels.ewald_site_energies(charged, threads=1),
                "EwaldSummation",
                _ewald,
                decorated,
            ),
            (
                "all features",
                batch,
                lambda batch=batch: featurize_with_reasons(batch, threads=1),
                "",
                None,
                [],
            ),
        ]
        for what, subject, ours, peer, theirs, arguments in rows:
            n = len(subject)
            yield Timing(
                what,
                name,
                n,
                subject.n_sites / n,
                1e3 * _median(ours) / n,
                peer,
                1e3 * _peer_time(theirs, arguments),
            )


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _peer_time(work: Peer | None, arguments: list[object]) -> float:
    """Mean time per crystal; a crystal that the peer refuses counts with the time it took."""
    if work is None:
        return float("nan")
    start = time.perf_counter()
    for argument in arguments:
        try:
            work(argument)
        except (ValueError, TypeError, KeyError):
            continue
    return (time.perf_counter() - start) / len(arguments)


def _parse(text: object) -> object:
    from pymatgen.io.cif import CifParser

    return CifParser.from_str(text).parse_structures(primitive=False)


def _symmetry(structure: object) -> object:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    return SpacegroupAnalyzer(structure).get_symmetrized_structure()


def _valences(structure: object) -> object:
    from pymatgen.analysis.bond_valence import BVAnalyzer

    return BVAnalyzer().get_oxi_state_decorated_structure(structure)


def _ewald(structure: object) -> object:
    from pymatgen.analysis.ewald import EwaldSummation

    summation = EwaldSummation(structure)
    return [summation.get_site_energy(site) for site in range(len(structure))]
