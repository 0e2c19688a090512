"""``pyhpc demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyarrow.dataset as ds
from rich.table import Table

from pyhpc import gallery
from pyhpc.cli.featurize import featurize_command
from pyhpc.cli.options import wide_console
from pyhpc.records import Outcome
from pyhpc.shards import Output

if TYPE_CHECKING:
    from collections.abc import Iterable

CONDUCTORS = (
    "LGPS",
    "Li6PS5Cl",
    "Li6PS5I",
    "Li3PS4_beta",
    "LLZO_cubic",
    "LLZO_tetragonal",
    "LATP",
    "LLTO",
    "Li3N",
    "Li3OCl",
    "Li3YCl3Br3",
    "LiBH4_orthorhombic",
    "LiI",
)
"""Well-known conductors whose features are shown."""

COLUMNS = {
    "bv_mismatch_avg": "BV mismatch\n(v.u.)",
    "ewald_energy_avg": "Ewald energy\nper Li (eV)",
    "li_voronoi_cn_avg_025": "Voronoi CN\n(25%)",
    "li_li_min_dist": "Li-Li\n(A)",
    "gii": "GII\n(v.u.)",
}
"""Features that are shown, with their headings."""


@click.command("demo")
@click.option(
    "--out",
    default="demo_output",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Output folder.",
)
@click.option("--workers", type=click.IntRange(min=0), help="As for pyhpc featurize.")
@click.pass_context
def demo_command(context: click.Context, out: Path, workers: int | None) -> None:
    """Featurize the crystals that pyhpc ships, and show what was found.

    Runs 'pyhpc featurize' on them and on a few files that are broken on purpose, then prints
    features of some famous lithium conductors, says what happened to the broken files, and draws
    OUT/lithium.png.
    """
    sources = (str(gallery.crystals_path()), str(gallery.broken_path()))
    context.invoke(featurize_command, sources=sources, out=out, workers=workers)
    output = Output(out)
    rows = {row["id"]: row for row in _read(output.parts, ["id", *COLUMNS])}
    entries = {entry.id: entry for entry in gallery.index()}
    console = wide_console()
    console.print()
    console.print(_conductor_table(entries, rows))
    console.print(_trouble_table(_read(output.ledger, ["id", "outcome", "reasons"])))
    figure = out / "lithium.png"
    _draw(entries, rows, figure)
    console.print(f"The figure is {figure}.", soft_wrap=True)


def _read(folder: Path, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ds.dataset(folder).to_table(columns).to_pylist()
    return rows


def _conductor_table(
    entries: dict[str, gallery.GalleryEntry], rows: dict[str, dict[str, Any]]
) -> Table:
    table = Table(title="Some famous lithium conductors", title_justify="left")
    table.add_column("crystal", no_wrap=True)
    table.add_column("family", no_wrap=True)
    table.add_column("conductivity\n(S/cm, 25 C)", justify="right")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    for name in CONDUCTORS:
        entry, row = entries[name], rows[name]
        sigma = "" if entry.sigma is None else f"{entry.sigma:.1e}"
        values = (f"{row[column]:.3f}" for column in COLUMNS)
        table.add_row(name, entry.family, sigma, *values)
    return table


def _trouble_table(ledger: Iterable[dict[str, Any]]) -> Table:
    """Table of the records that are not ok, with what the ledger says of them."""
    table = Table(title="What was not ok, and why", title_justify="left")
    for heading in ("record", "outcome", "reason", "message"):
        table.add_column(heading, overflow="fold")
    for row in ledger:
        for reason in row["reasons"]:
            if reason["outcome"] != Outcome.OK:
                table.add_row(row["id"], row["outcome"], reason["code"], reason["message"])
    return table


def _draw(
    entries: dict[str, gallery.GalleryEntry], rows: dict[str, dict[str, Any]], path: Path
) -> None:
    """Draw bond-valence mismatch against Ewald site energy of the lithium compounds."""
    from pyhpc.report.figures import scatter_by_family

    drawn = [name for name in entries if rows[name]["bv_mismatch_avg"] >= 0]
    scatter_by_family(
        path,
        [rows[name]["ewald_energy_avg"] for name in drawn],
        [rows[name]["bv_mismatch_avg"] for name in drawn],
        [entries[name].family for name in drawn],
        drawn,
        [_marker_area(entries[name].sigma) for name in drawn],
        x_label="Ewald site energy of lithium (eV)",
        y_label="bond-valence mismatch of lithium (v.u.)",
        title="How lithium sits: electrostatics against bonding",
        size_note="large: known conductor",
    )


def _marker_area(sigma: float | None) -> float:
    return 45.0 if sigma is None else 130.0
