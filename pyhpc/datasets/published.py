"""The data sets that pyhpc knows, with their addresses and checksums."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a data set.

    Attributes
    ----------
    name : str
        What it is called in the folder of the data set.
    remote_name : str
        What the publisher calls it.
    sha256 : str
        Hash of the file; of an archive, of its members (:func:`pyhpc.datasets.fetch.content_hash`),
        since the same members may be packed again.
    """

    name: str
    remote_name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A published data set.

    Attributes
    ----------
    name : str
        What it is called in job files and on the command line.
    addresses : tuple of str
        Folders of the publisher; the first that gives a file with the right hash counts.
    files : tuple of PublishedFile
        The files.
    licence, citation : str
        Terms, and what to cite.
    """

    name: str
    addresses: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    licence: str
    citation: str


OBELIX = Dataset(
    name="obelix",
    addresses=(
        "https://raw.githubusercontent.com/NRC-Mila/OBELiX/v1.2.0-data/data/downloads/",
        "https://raw.githubusercontent.com/NRC-Mila/OBELiX/main/data/downloads/",
    ),
    files=(
        PublishedFile(
            "train.csv",
            "train.csv",
            "01d87779862807e24bc45bb2c759852f892390b99f9340f13906c54805aa8776",
        ),
        PublishedFile(
            "test.csv",
            "test.csv",
            "b2c266eb74e22f403743d52959bea7c43b1531a850994870a70dd909200e5297",
        ),
        PublishedFile(
            "cifs.tar.gz",
            "all_cifs.tar.gz",
            "e165625a366484266ac8c3ca6f86a9b3205b461cdfae135fec7843fd5378ee79",
        ),
    ),
    licence="CC BY 4.0",
    citation="Therrien et al., OBELiX, arXiv:2502.14234",
)
"""Experimental room-temperature Li-ion conductivities: 478 and 121 entries, 321 CIFs."""

DATASETS = {OBELIX.name: OBELIX}
"""The data sets by name."""
