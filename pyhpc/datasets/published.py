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
        Folders of the publisher; the first that gives a file with the right hash counts. None
        where nobody publishes the files as they are: then they come from a copy.
    files : tuple of PublishedFile
        The files.
    licence, citation : str
        Terms, and what to cite.
    parts : str
        Of a set without addresses: what it was put together from.
    """

    name: str
    addresses: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    licence: str
    citation: str
    parts: str = ""


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

ELASTICITY = Dataset(
    name="elasticity",
    addresses=(),
    files=(
        PublishedFile(
            "kvrh.csv",
            "kvrh.csv",
            "3928760d921ad2de93ae13c67e22f793076b2b4856e26cf1189350def09934fe",
        ),
        PublishedFile(
            "cifs.tar.gz",
            "cifs.tar.gz",
            "7b6a19935002295b44162b745644382d2c041c358c8411f2a0e7bf2c4485974b",
        ),
    ),
    licence="CC BY 4.0 (Materials Project) and the terms of each source",
    citation=(
        "Dunn et al., npj Comput. Mater. 6, 138 (2020), doi 10.1038/s41524-020-00406-3; "
        "de Jong et al., Sci. Data 2, 150009 (2015), doi 10.1038/sdata.2015.9"
    ),
    parts=(
        "kvrh.csv joins, by the id of the Materials Project, the bulk moduli of matbench_log_kvrh, "
        "of matcalc's elasticity benchmark, of the set that CGCNN is tried on (ME228) and of "
        "predict_elastic_tensor; cifs.tar.gz holds the structures of the Materials Project"
    ),
)
"""Bulk moduli (GPa) from several sources for 11,285 ids of the Materials Project, 11,269 CIFs."""

MATBENCH_LOG_KVRH = Dataset(
    name="matbench_log_kvrh",
    addresses=("https://ml.materialsproject.org/projects/",),
    files=(
        PublishedFile(
            "matbench_log_kvrh.json.gz",
            "matbench_log_kvrh.json.gz",
            "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
        ),
    ),
    licence="CC BY 4.0 (Materials Project)",
    citation=ELASTICITY.citation,
)
"""log10 of the bulk modulus (GPa) of 10,987 structures, in the order that matbench's folds need."""

DATASETS = {one.name: one for one in (OBELIX, ELASTICITY, MATBENCH_LOG_KVRH)}
"""The data sets by name."""
