"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How bad it is."""

    FINE = "fine"
    WATCH = "watch"
    SERIOUS = "serious"

    @property
    def rank(self) -> int:
        """Place in a list that begins with the worst."""
        return (Verdict.SERIOUS, Verdict.WATCH, Verdict.FINE).index(self)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    key, title : str
        Short name, and heading.
    verdict : Verdict
        How bad it is.
    text : list of str
        What was found, one or two sentences; the first stands alone.
    advice : list of str
        What to try, the most likely cause first.
    numbers : dict
        All figures behind it; JSON-able but for NaN.
    """

    key: str
    title: str
    verdict: Verdict
    text: list[str]
    advice: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
