"""What a fit runs on, and the seed that it draws from."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

from pyhpc.models.optional import need


@dataclass(frozen=True, slots=True)
class Compute:
    """Seed, threads and device of a fit; with equal ones, equal data give equal models.

    Attributes
    ----------
    seed : int
        Where every random choice of the fit comes from.
    threads : int
        Threads to use.
    device : str
        ``"cpu"`` or ``"cuda"``; only XGBoost uses a GPU.
    """

    seed: int = 0
    threads: int = 1
    device: str = "cpu"

    def spawn(self, key: int) -> Compute:
        """Compute of the fit's part number ``key``, whose seed is its own."""
        # A large odd step keeps the seeds of parts of neighbouring seeds apart.
        return replace(self, seed=(self.seed + 7919 * (key + 1)) % (2**31 - 1))


def best_device() -> str:
    """Find out where XGBoost can run: ``"cuda"`` where it has a GPU, else ``"cpu"``."""
    if not need("xgboost").build_info().get("USE_CUDA", False):
        return "cpu"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "cpu"
    count = ctypes.c_int(0)
    usable = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return "cuda" if usable and count.value > 0 else "cpu"
