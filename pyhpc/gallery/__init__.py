"""Crystals that the package ships: well-known compounds from the literature, and broken files.

``crystals/`` holds one CIF per compound (``ZnS.cif`` two blocks), each with the citation of the
refinement or of the lattice parameters that it states. ``index.csv`` says what they are.
``broken/`` holds files that are wrong on purpose, each with a comment that says how.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

__all__ = ["GalleryEntry", "broken_path", "crystals_path", "index"]


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """One shipped crystal.

    Attributes
    ----------
    id : str
        Record id: the file's name without its ending, ``file#block`` in a file of several blocks.
    file : str
        Name of the file in `crystals_path`.
    name : str
        Common name.
    formula : str
        Composition that the file states, as a formula unit.
    family, structure_type : str
        Family of the compound and type of its structure.
    mobile_ion : str
        Symbol of the ion that moves, empty where none is of interest.
    disordered : bool
        True where a site is partially occupied or shared by several species.
    citation : str
        Where the structure is published.
    doi : str
        DOI of `citation`, empty where it has none or it is not known for certain.
    note : str
        What a user has to know, among it why the global instability index is 0.3 v.u. or above.
    sigma : float or None
        Ionic conductivity at room temperature in S/cm from the literature, where well known.
    sigma_citation : str
        Source of `sigma`.
    """

    id: str
    file: str
    name: str
    formula: str
    family: str
    structure_type: str
    mobile_ion: str
    disordered: bool
    citation: str
    doi: str
    note: str
    sigma: float | None
    sigma_citation: str


def crystals_path() -> Path:
    """Directory of the shipped CIFs.

    Returns
    -------
    Path
        A real directory.

    Raises
    ------
    NotADirectoryError
        If the package was imported from an archive.
    """
    return _directory("crystals")


def broken_path() -> Path:
    """Directory of the deliberately broken CIFs.

    Returns
    -------
    Path
        A real directory.

    Raises
    ------
    NotADirectoryError
        If the package was imported from an archive.
    """
    return _directory("broken")


def index() -> list[GalleryEntry]:
    """List what is shipped in `crystals_path`, one entry per structure, ordered by id.

    Returns
    -------
    list of GalleryEntry
        The rows of ``index.csv``.
    """
    text = files(__name__).joinpath("index.csv").read_text(encoding="utf-8")
    return [
        GalleryEntry(
            id=row["id"],
            file=row["file"],
            name=row["name"],
            formula=row["formula"],
            family=row["family"],
            structure_type=row["structure_type"],
            mobile_ion=row["mobile_ion"],
            disordered=row["disordered"] == "yes",
            citation=row["citation"],
            doi=row["doi"],
            note=row["note"],
            sigma=float(row["sigma_S_per_cm"]) if row["sigma_S_per_cm"] else None,
            sigma_citation=row["sigma_citation"],
        )
        for row in csv.DictReader(text.splitlines())
    ]


def _directory(name: str) -> Path:
    path = files(__name__).joinpath(name)
    if not isinstance(path, Path) or not path.is_dir():
        raise NotADirectoryError(f"the gallery needs an unpacked installation, got {path}")
    return path
