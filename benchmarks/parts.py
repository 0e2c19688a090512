"""The parts of the suite by name, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import (
    bond_valence,
    coverage,
    ewald,
    ewald_limit,
    executors,
    features,
    limits,
    memory,
    neighbors,
    parity,
    reading,
    runs,
    symmetry,
    threads,
    valence,
    voronoi,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.coverage import Count
    from benchmarks.harness import Effort
    from benchmarks.limits import Limit
    from benchmarks.results import AnyRow


def _limits(effort: Effort) -> Iterator[Limit]:
    yield from limits.run(effort)
    yield from ewald_limit.run(effort)


def _executors(effort: Effort) -> Iterator[Count]:
    yield from executors.run(effort)
    yield from runs.run(effort)


PARTS: dict[str, Callable[[Effort], Iterable[AnyRow]]] = {
    "features": features.run,
    "reading": reading.run,
    "neighbors": neighbors.run,
    "ewald": ewald.run,
    "accuracy": ewald.run_accuracy,
    "voronoi": voronoi.run,
    "valence": valence.run,
    "bond_valence": bond_valence.run,
    "symmetry": symmetry.run,
    "threads": threads.run,
    "limits": _limits,
    "memory": memory.run,
    "parity": parity.run,
    "coverage": coverage.run,
    "executors": _executors,
}
