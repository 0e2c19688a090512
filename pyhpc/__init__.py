"""Crystal structures to physics features and honest models, on a laptop or a SLURM cluster."""

from pyhpc._kernels import __version__
from pyhpc.crystals import CrystalBatch
from pyhpc.features import featurize

__all__ = ["CrystalBatch", "__version__", "featurize"]
