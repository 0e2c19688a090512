"""Kinds of files, by their names."""

from __future__ import annotations

import re

_ENDINGS = {
    ".cif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".tar": "tar",
    ".tgz": "tar",
    ".tar.gz": "tar",
    ".zip": "zip",
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSED = (".cif", ".vasp", ".poscar", ".contcar", ".xyz", ".extxyz", ".csv", ".json")
_VASP_NAMES = ("POSCAR", "CONTCAR")

_KINDS = _ENDINGS | {ending + ".gz": _ENDINGS[ending] for ending in _COMPRESSED}
_PATTERN = re.compile(
    "(?<=[^/])(?:" + "|".join(map(re.escape, sorted(_KINDS, key=len, reverse=True))) + r")\Z",
    re.IGNORECASE,
)

STRUCTURES = frozenset({"cif", "poscar", "extxyz"})
"""Kinds that hold structures themselves."""
ARCHIVES = frozenset({"tar", "zip"})
"""Kinds that hold files."""
TABLES = frozenset({"csv", "json", "parquet"})
"""Kinds that hold structures in a column."""
KNOWN_ENDINGS = ", ".join(
    [*_ENDINGS, "POSCAR*", "CONTCAR*", "each structure, CSV and JSON also as .gz"]
)
"""The endings, for a message."""


def kind_of(name: str) -> str | None:
    """Kind of a file: ``"cif"``, ``"poscar"``, ``"extxyz"``, ``"tar"``, ..., None if unknown."""
    ending = _ending(name)
    if ending:
        return _KINDS[ending.lower()]
    return "poscar" if name.rpartition("/")[2].startswith(_VASP_NAMES) else None


def is_gzip(name: str) -> bool:
    """Whether the file is compressed as a whole."""
    return name.lower().endswith((".gz", ".tgz"))


def stem(name: str) -> str:
    """Path without its ending: the id of a record. ``POSCAR`` has no ending."""
    return name[: len(name) - len(_ending(name))]


def _ending(name: str) -> str:
    """Known ending of a name, empty if there is none; a name that is all ending has none."""
    match = _PATTERN.search(name)
    return match[0] if match else ""
