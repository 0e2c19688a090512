"""Why values are missing, gathered while features are computed.

Reason codes
------------
A reason's stage is ``features.<group>``, and it explains the missing values of that group.

Plain facts:

==================== =============================================================================
code                 what is missing
==================== =============================================================================
no_mobile_ion        means over the sites of the mobile ion: there are none
no_ion_pair          the mean distance of mobile ions: none has another one within 5 angstrom
no_anion             the distance to an anion: there is none within 20 angstrom
neutral_atoms        bond valences and electrostatic energies: the crystal holds no ions
no_bonds             what bonds are like: no two atoms are close enough
no_bond_angle        angles: no site has two bonds
no_bulk_modulus      bulk moduli of the elements: the table has none of any of them
no_runner_up         the margin of the valences: no other assignment was to be weighed
==================== =============================================================================

Degraded:

==================== =============================================================================
code                 what is missing or doubtful
==================== =============================================================================
missing_element_data Magpie statistics, density, means over elements: a table has no value
no_atoms             all that is per atom: the occupancies sum to nothing
singular_lattice     all that is per volume: the lattice spans none
neutral_ion_site     the ion's site energy: a mixed site has the mean charge 0
charged_cell         nothing, but the oxidation states do not sum to 0
==================== =============================================================================

Others are reason codes of kernels (:data:`pyhpc.kernels.STATUS_NAMES`), whose message begins with
the kernel's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyhpc.kernels import STATUS_NAMES
from pyhpc.reasons import Reasons
from pyhpc.records import Outcome, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyhpc.kernels import KernelResult


def stage(group: str) -> str:
    """Stage of the ledger that explains missing values of a group."""
    return f"features.{group}"


class Findings:
    """Reasons by crystal."""

    def __init__(self) -> None:
        self._facts: list[tuple[NDArray[np.int64] | tuple[int], Reason]] = []

    @property
    def reasons(self) -> Reasons:
        """What has been said so far, by crystal."""
        return Reasons.gather(self._facts)

    def add(self, crystal: int, reason: Reason) -> None:
        """Say something of one crystal."""
        self._facts.append(((crystal,), reason))

    def fact(self, mask: NDArray[np.bool_], group: str, code: str, message: str) -> None:
        """Say of the masked crystals what plainly explains their missing values."""
        self._add_all(mask, Reason(code, stage(group), Outcome.OK, message))

    def failure(self, mask: NDArray[np.bool_], group: str, code: str, message: str) -> None:
        """Say of the masked crystals why something could not be computed."""
        self._add_all(mask, Reason(code, stage(group), Outcome.DEGRADED, message))

    def kernel(
        self,
        group: str,
        name: str,
        result: KernelResult,
        crystals: NDArray[np.int64] | None = None,
    ) -> None:
        """Say of each crystal that a kernel failed on what the kernel says.

        ``crystals`` are those of the kernel's batch, where that was not the whole batch.
        """
        for k in np.flatnonzero(result.status):
            code = STATUS_NAMES[int(result.status[k])]
            message = f"{name}: {result.errors[int(k)]}"
            crystal = int(k) if crystals is None else int(crystals[k])
            self.add(crystal, Reason(code, stage(group), Outcome.DEGRADED, message))

    def _add_all(self, mask: NDArray[np.bool_], reason: Reason) -> None:
        self._facts.append((np.flatnonzero(mask), reason))
