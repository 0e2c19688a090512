"""Physics kernels over a :class:`~pyhpc.crystals.CrystalBatch`.

Each kernel runs in parallel over the crystals of the batch (and within large ones), detached from
the interpreter, on ``threads`` threads; by default as many as ``SLURM_CPUS_PER_TASK`` says, else
as the process may run on. Results do not depend on the number of threads, bit for bit.

The widest vector instructions that the processor has are used (:func:`simd_level`: ``"scalar"``,
``"avx2"`` or ``"avx512"``), unless the environment variable ``PYHPC_SIMD`` names a lesser level.

Every result has ``status``, shape (n_crystals,), int32, where 0 is ok and :data:`STATUS_NAMES`
gives the reason code of the others, and ``errors``, a dict from crystal to message. A crystal that
fails never fails its batch: its values are NaN (0 or empty for integers).
"""

from pyhpc import _kernels
from pyhpc._kernels import COULOMB_CONSTANT, BatchError, default_threads, simd_level
from pyhpc.kernels.bond_valence import BondValence, bond_valence_sums
from pyhpc.kernels.bonding import BondStatistics, bond_statistics
from pyhpc.kernels.environment import IonEnvironments, ion_environments
from pyhpc.kernels.ewald import Ewald, ewald_site_energies
from pyhpc.kernels.neighbors import NeighborList, neighbor_list
from pyhpc.kernels.result import KernelResult
from pyhpc.kernels.symmetry import Symmetry, symmetry
from pyhpc.kernels.valence import ValenceMethod, Valences, assign_oxidation_states
from pyhpc.kernels.voronoi import Voronoi, VoronoiFaces, voronoi

__all__ = [
    "COULOMB_CONSTANT",
    "STATUS_NAMES",
    "BatchError",
    "BondStatistics",
    "BondValence",
    "Ewald",
    "IonEnvironments",
    "KernelResult",
    "NeighborList",
    "Symmetry",
    "ValenceMethod",
    "Valences",
    "Voronoi",
    "VoronoiFaces",
    "assign_oxidation_states",
    "bond_statistics",
    "bond_valence_sums",
    "default_threads",
    "ewald_site_energies",
    "ion_environments",
    "neighbor_list",
    "simd_level",
    "symmetry",
    "voronoi",
]

STATUS_NAMES: dict[int, str] = _kernels.status_names()
"""Reason codes by status number; stable, as they are written into ledgers."""
