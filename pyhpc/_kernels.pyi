from typing import Any, Final

__all__ = [
    "CIF_COORDINATES",
    "CIF_OPERATORS",
    "CIF_VALUES",
    "COULOMB_CONSTANT",
    "BatchError",
    "__version__",
    "assign_oxidation_states",
    "bond_statistics",
    "bond_valence_sums",
    "default_threads",
    "ion_environments",
    "expand_cells",
    "ewald_site_energies",
    "neighbor_list",
    "simd_level",
    "status_names",
    "symmetry",
    "tables",
    "valence_methods",
    "voronoi",
]

CIF_COORDINATES: Final[list[str]]
CIF_OPERATORS: Final[list[str]]
CIF_VALUES: Final[list[str]]
COULOMB_CONSTANT: Final[float]
__version__: Final[str]

class BatchError(ValueError): ...

def assign_oxidation_states(
    batch: Any,
    distance_scale: float,
    neutrality_tolerance: float,
    outlier_fraction: float,
    threads: int | None,
) -> dict[str, Any]: ...
def bond_statistics(
    batch: Any,
    radii: Any,
    electronegativities: Any,
    bond_factor: float,
    anion_factor: float,
    threads: int | None,
) -> dict[str, Any]: ...
def bond_valence_sums(
    batch: Any, cutoff: float, parameters: str, b: float | None, threads: int | None
) -> dict[str, Any]: ...
def default_threads() -> int: ...
def ewald_site_energies(
    batch: Any,
    accuracy: float,
    alpha: float | None,
    method: str,
    parts: bool,
    threads: int | None,
) -> dict[str, Any]: ...
def expand_cells(
    data: Any, offsets: Any, parse: Any, limits: Any, threads: int | None
) -> dict[str, Any]: ...
def ion_environments(
    batch: Any, atomic_number: int, bond_cutoffs: Any, anions: Any, threads: int | None
) -> dict[str, Any]: ...
def neighbor_list(batch: Any, cutoff: float, threads: int | None) -> dict[str, Any]: ...
def simd_level() -> str: ...
def status_names() -> dict[int, str]: ...
def symmetry(
    batch: Any,
    symprec: float,
    angle_tolerance: float | None,
    wyckoffs: bool,
    threads: int | None,
) -> dict[str, Any]: ...
def tables() -> dict[str, str]: ...
def valence_methods() -> dict[str, int]: ...
def voronoi(
    batch: Any,
    sites: Any,
    thresholds: Any,
    alternatives: bool,
    faces: bool,
    threads: int | None,
) -> dict[str, Any]: ...
