"""``pyhpc diagnose``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from pyhpc.cli.options import storage_path, wide_console

_COLOURS = {"fine": "green", "watch": "yellow", "serious": "bold red"}
_PATH = click.Path(path_type=Path)


@click.command("diagnose")
@click.argument("file", type=_PATH)
@click.option("--truth", help="Column of the truth.  [default: found by its name]")
@click.option("--prediction", help="Column of the predictions.  [default: found by its name]")
@click.option("--id", "identifier", help="Column of the names of rows.")
@click.option("--fold", help="Column of the folds of a cross-validation.")
@click.option("--split", help="Judge the rows with this value in the column 'split'.")
@click.option(
    "--features",
    type=_PATH,
    help="Features by id: a table, or the folder of a run.  [default: FILE's further numbers]",
)
@click.option("--train", type=_PATH, help="Table of the rows that the model was fitted to.")
@click.option("--log", is_flag=True, help="Judge decimal logarithms.")
@click.option("--out", type=_PATH, help="Folder of the page.  [default: beside FILE]")
def diagnose_command(
    file: Path,
    truth: str | None,
    prediction: str | None,
    identifier: str | None,
    fold: str | None,
    split: str | None,
    features: Path | None,
    train: Path | None,
    out: Path | None,
    *,
    log: bool,
) -> None:
    """Say what is wrong with the predictions in FILE, and what to try.

    FILE is a CSV or Parquet table with a truth and a prediction per row, from whatever model.
    """
    # Imported here, since all other commands do without the extra that figures need.
    from pyhpc.diagnosis import diagnose
    from pyhpc.diagnosis.page import headline, write_diagnosis
    from pyhpc.diagnosis.reading import read_predictions
    from pyhpc.models.optional import need

    for module in ("jinja2", "matplotlib", "scipy"):
        need(module)
    read = read_predictions(
        file,
        truth=truth,
        prediction=prediction,
        identifier=identifier,
        fold=fold,
        split=split,
        features=features,
        train=train,
    )
    folder = storage_path(out or file.with_name(f"{file.stem}_diagnosis"))
    diagnosis = diagnose(**read.arguments, log=log)
    page = write_diagnosis(diagnosis, folder, title=f"Diagnosis of {file.name}", notes=read.notes)
    console = wide_console(markup=False)
    for note in read.notes:
        console.print(note, soft_wrap=True)
    table = Table("check", "verdict", "what was found")
    table.columns[0].no_wrap = True
    for check in diagnosis.by_weight:
        verdict = str(check.verdict)
        table.add_row(check.title, Text(verdict, _COLOURS[verdict]), check.text[0])
    console.print(table)
    console.print(headline(diagnosis), soft_wrap=True)
    for advice in diagnosis.findings[0].advice if diagnosis.findings else ():
        console.print(f"- {advice}", soft_wrap=True)
    console.print(f"The page is {page}.", soft_wrap=True)
