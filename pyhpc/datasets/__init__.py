"""Published data sets: where they are, and how to tell that a copy is whole."""

from pyhpc.datasets.fetch import fetch
from pyhpc.datasets.published import DATASETS, Dataset, PublishedFile

__all__ = ["DATASETS", "Dataset", "PublishedFile", "fetch"]
