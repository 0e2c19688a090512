"""A report as sections of text, tables and figures, and its two forms: Markdown and one page."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pyhpc.models.optional import need

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    headings : list of str
        Of the columns; the first is the row's name.
    rows : list of list of str
        Cells.
    caption : str
        What it shows.
    strong : frozenset of int
        Rows to set off.
    """

    headings: list[str]
    rows: list[list[str]]
    caption: str = ""
    strong: frozenset[int] = frozenset()

    @property
    def worded(self) -> list[bool]:
        """Columns that hold words, which are aligned to the left: the first, and all with one."""
        return [
            k == 0 or any(row[k][:1].isalpha() for row in self.rows)
            for k in range(len(self.headings))
        ]


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes
    ----------
    name : str
        Name of its file in the results.
    data : bytes
        PNG.
    caption : str
        What it shows.
    small : bool
        Whether several stand side by side.
    """

    name: str
    data: bytes
    caption: str
    small: bool = False

    @property
    def url(self) -> str:
        """The figure itself, as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.data).decode()


@dataclass
class Section:
    """A section of a report.

    Attributes
    ----------
    key, title : str
        Anchor and heading.
    text : list of str
        Paragraphs.
    points : list of str
        A list under them.
    tables, figures
        What follows, in this order.
    folded : bool
        Whether the page shows it on demand only.
    """

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    folded: bool = False


def markdown(title: str, about: str, sections: Sequence[Section]) -> str:
    """Write a report as Markdown; figures are links to their files."""
    lines = [f"# {title}", "", about.strip(), ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for paragraph in section.text:
            lines += [paragraph, ""]
        lines += [f"- {point}" for point in section.points] + [""] * bool(section.points)
        for table in section.tables:
            if table.caption:
                lines += [f"*{table.caption}*", ""]
            lines.append("| " + " | ".join(table.headings) + " |")
            rules = ("---" if worded else "---:" for worded in table.worded)
            lines.append("| " + " | ".join(rules) + " |")
            for k, row in enumerate(table.rows):
                first = f"**{row[0]}**" if k in table.strong else row[0]
                lines.append("| " + " | ".join([first, *row[1:]]) + " |")
            lines.append("")
        for figure in section.figures:
            lines += [f"![{figure.caption}]({figure.name})", ""]
    return "\n".join(lines).rstrip() + "\n"


def html(title: str, about: str, sections: Sequence[Section]) -> str:
    """Write a report as one page that needs no other file.

    Raises
    ------
    PyhpcError
        If jinja2 is not installed.
    """
    jinja2 = need("jinja2")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = files(__package__).joinpath("templates/report.html").read_text(encoding="utf-8")
    page: str = environment.from_string(source).render(
        title=title, about=about.strip(), sections=sections
    )
    return page


def number(value: float, digits: int = 3) -> str:
    """Write a figure as text; empty where there is none."""
    return "" if value != value else f"{value:.{digits}f}"


def interval(score: Any, digits: int = 3, ends: int = 2) -> str:
    """Write a figure with its interval: ``0.802 [0.75, 0.84]``."""
    return f"{number(score.value, digits)} [{score.lower:.{ends}f}, {score.upper:.{ends}f}]"
