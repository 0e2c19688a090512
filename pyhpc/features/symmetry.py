"""Space group and crystal system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pyhpc.arrow import numbers, strings
from pyhpc.features.catalogue import SYMMETRY

if TYPE_CHECKING:
    from pyhpc.features.findings import Findings
    from pyhpc.kernels import Symmetry

CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""Last space group of each crystal system."""

N_SPACE_GROUPS = 230


def columns(symmetry: Symmetry, findings: Findings) -> dict[str, pa.Array]:
    """Compute the features of the group ``symmetry``."""
    findings.kernel(SYMMETRY, "symmetry", symmetry)
    failed = symmetry.status != 0
    last = np.fromiter(CRYSTAL_SYSTEMS.values(), dtype=np.int64)
    systems = np.searchsorted(last, np.where(failed, 1, symmetry.numbers)).astype(np.int8)
    return {
        "space_group_number": numbers(symmetry.numbers.astype(np.int16), failed),
        "crystal_system": pa.DictionaryArray.from_arrays(
            numbers(systems, failed), strings(list(CRYSTAL_SYSTEMS))
        ),
    }


def one_hot_space_group(table: pa.Table) -> pa.Table:
    """Add the columns ``sg_1`` ... ``sg_230`` to a table of features.

    Parameters
    ----------
    table : pyarrow.Table
        With a column ``space_group_number``.

    Returns
    -------
    pyarrow.Table
        The table with 230 more columns (int8), 1 in that of the row's space group, else 0; all 0
        where the space group is missing.
    """
    numbers = table["space_group_number"].fill_null(0).to_numpy()
    hot = np.zeros((N_SPACE_GROUPS + 1, len(numbers)), dtype=np.int8)
    hot[numbers, np.arange(len(numbers))] = 1
    for number in range(1, N_SPACE_GROUPS + 1):
        table = table.append_column(f"sg_{number}", pa.array(hot[number]))
    return table
