"""``pyhpc features``."""

from __future__ import annotations

import click
from rich.table import Table

from pyhpc.cli.options import wide_console


@click.command("features")
@click.option("--group", "groups", multiple=True, help="Only this group; may be repeated.")
def features_command(groups: tuple[str, ...]) -> None:
    """List the features: name, group, unit, meaning and source."""
    from pyhpc.features import CATALOGUE

    known = sorted({feature.group for feature in CATALOGUE})
    unknown = [group for group in groups if group not in known]
    if unknown:
        raise click.UsageError(f"No group {', '.join(unknown)}; there are {', '.join(known)}.")
    columns = ("name", "group", "unit", "meaning", "source")
    table = Table(*columns)
    table.columns[0].no_wrap = True
    for feature in CATALOGUE:
        if not groups or feature.group in groups:
            table.add_row(*(str(getattr(feature, column)) for column in columns))
    wide_console(markup=False).print(table)
