"""What every kernel returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class KernelResult:
    """Outcome of a kernel for each crystal of the batch.

    Attributes
    ----------
    status : array, shape (n_crystals,), int32
        0 = ok, else a key of :data:`pyhpc.kernels.STATUS_NAMES`.
    errors : dict of int to str
        Message of each crystal that failed.
    """

    status: NDArray[np.int32]
    errors: dict[int, str]
