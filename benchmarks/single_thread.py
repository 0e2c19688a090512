"""Import before NumPy: keeps the libraries that start threads of their own to one."""

import os

NAMES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)

for name in NAMES:
    os.environ[name] = "1"
