"""All that one run of the suite found, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.coverage import Count
from benchmarks.harness import Row
from benchmarks.limits import Limit
from benchmarks.memory import Memory
from benchmarks.parity import Deviation

if TYPE_CHECKING:
    from pathlib import Path

AnyRow = Row | Memory | Deviation | Count | Limit
ROWS = {
    "memory": Memory,
    "parity": Deviation,
    "coverage": Count,
    "executors": Count,
    "limits": Limit,
}
"""Kinds of row of the parts that have their own."""

FILE = "results.json"


@dataclass
class Results:
    """What was found.

    Attributes
    ----------
    machine, versions, peak : dict
        See :mod:`benchmarks.machine`.
    parts : dict of str to list
        Rows by part.
    elsewhere : dict of str to str
        Parts that were run alone later on, where there was another processor, and which.
    """

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)

    def add(self, part: str, rows: list[AnyRow], processor: str) -> None:
        """Take the rows of a part in place of those that it had."""
        self.parts[part] = rows
        self.elsewhere.pop(part, None)
        if processor != self.machine["processor"]:
            self.elsewhere[part] = processor

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Read the results of a folder, empty ones if there are none."""
        try:
            stored = json.loads((folder / FILE).read_text())
        except FileNotFoundError:
            return cls()
        parts = {
            name: [ROWS.get(name, Row)(**row) for row in rows]
            for name, rows in stored.pop("parts").items()
        }
        return cls(**stored, parts=parts)

    def save(self, folder: Path) -> None:
        """Write the results into a folder; floats to four digits, which is more than they hold."""
        parts = {name: [_short(asdict(row)) for row in rows] for name, rows in self.parts.items()}
        stored = {
            "machine": self.machine,
            "versions": self.versions,
            "peak": self.peak,
            "elsewhere": self.elsewhere,
            "parts": parts,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(_to_json(stored) + "\n")

    def rows(self, *parts: str) -> list[Row]:
        """Comparisons of some parts."""
        return [row for part in parts for row in self.parts.get(part, [])]


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Drop what is empty, needless digits, and what is no number, which JSON can't hold."""
    found = {}
    for key, value in row.items():
        if isinstance(value, float):
            found[key] = float(f"{value:.4g}") if math.isfinite(value) else None
        elif value not in (None, "") or key == "ours":
            found[key] = value
    return found


def _to_json(stored: dict[str, Any]) -> str:
    """One row per line, for readable differences."""
    head = {key: value for key, value in stored.items() if key != "parts"}
    lines = json.dumps(head, indent=1)[:-2] + ',\n "parts": {\n'
    parts = [
        f'  "{name}": [\n   ' + ",\n   ".join(json.dumps(row) for row in rows) + "\n  ]"
        for name, rows in stored["parts"].items()
    ]
    return lines + ",\n".join(parts) + "\n }\n}"
