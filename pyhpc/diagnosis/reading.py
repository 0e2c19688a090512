"""Predictions, features and training rows from the files that users have."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.models.matrix import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_TRUTH = ("y_true", "truth", "true", "target", "measured", "actual", "observed", "reference", "y")
_PREDICTION = ("y_pred", "prediction", "predicted", "pred", "predictions", "y_hat", "yhat")
_ID = ("id", "material_id", "mp_id", "name", "structure_id", "jid", "sample", "formula")
_FORMULA = ("formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty")
_FOLD = ("fold", "cv_fold", "folds")
_SPLIT = ("split", "subset", "partition")
_TRAINING = ("train", "training", "fit")
_NO_FEATURES = frozenset(
    ("index", "row", "seed", "is_bound", "gate", "lower", "upper", "target_lower", "target_upper")
) | frozenset(("error", "abs_error", "absolute_error", "residual", "std", "sigma", "uncertainty"))
"""Columns of numbers that are made from truth or prediction, or say nothing of the row."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the files say; the names are those of :func:`pyhpc.diagnosis.diagnose`.

    Attributes
    ----------
    arguments : dict
        Arguments of that function.
    truth_name, prediction_name : str
        Columns that were taken.
    notes : list of str
        What was chosen or left out, for the user to know.
    """

    arguments: dict[str, Any]
    truth_name: str
    prediction_name: str
    notes: list[str] = field(default_factory=list)


def read_predictions(
    path: Path,
    *,
    truth: str | None = None,
    prediction: str | None = None,
    identifier: str | None = None,
    fold: str | None = None,
    split: str | None = None,
    features: Path | None = None,
    train: Path | None = None,
) -> Predictions:
    """Read predictions, and what else is known of their rows.

    Parameters
    ----------
    path : Path
        CSV or Parquet with a truth and a prediction per row, such as ``*_predictions.csv`` of a
        study. Rows whose ``split`` is ``train`` are those that the model was fitted to.
    truth, prediction, identifier, fold : str, optional
        Columns; without, they are found by their usual names.
    split : str, optional
        Which rows to judge, by the column ``split``; without, the first that is no training.
    features : Path, optional
        Table of features by id: CSV, Parquet, or a folder of Parquet files. Without it, the
        further columns of numbers are the features.
    train : Path, optional
        Table of the rows that the model was fitted to.

    Raises
    ------
    PyhpcError
        If a file can't be read, or a column or a cell is not as it should be.
    """
    table = _read(path, text=(identifier, fold, split))
    truth_name = _column(table, path, "--truth", truth, _TRUTH)
    prediction_name = _column(table, path, "--prediction", prediction, _PREDICTION)
    id_name = _optional_column(table, path, "--id", identifier, _ID)
    fold_name = _optional_column(table, path, "--fold", fold, _FOLD)
    split_name = _optional_column(table, path, "--split", None, _SPLIT)
    notes = [f"{truth_name!r} is the truth, {prediction_name!r} the prediction."]
    truths = _numbers(table, path, truth_name)
    predictions = _numbers(table, path, prediction_name)
    n = table.num_rows
    ids = [f"row {k + 1}" for k in range(n)] if id_name is None else _texts(table, id_name)

    chosen, training = _choose(table, path, split, split_name, notes)
    own = [
        name
        for name in table.column_names
        if name not in {truth_name, prediction_name, id_name, fold_name, split_name}
        and _is_feature(table, name)
    ]
    arguments: dict[str, Any] = {
        "truth": truths[chosen],
        "prediction": predictions[chosen],
        "ids": [ids[k] for k in chosen],
    }
    formulas = _formulas(table)
    if formulas is not None:
        arguments["formulas"] = [formulas[k] for k in chosen]
    if features is not None:
        if id_name is None:
            raise PyhpcError(
                f"{path} has no column of ids to find the features by",
                f"Name it with --id; it has {', '.join(table.column_names)}.",
            )
        known = _read_features(features, ids, id_name)
        arguments["features"] = {name: values[chosen] for name, values in known.items()}
    else:
        known = {name: numbers(table, name) for name in own}
        arguments["features"] = {name: values[chosen] for name, values in known.items()}
    if own and features is None:
        notes.append(f"Features are the further columns of numbers: {_listed(own)}.")

    if train is not None:
        arguments |= _read_training(train, truth_name, id_name, features, tuple(known))
    elif len(training):
        arguments |= {
            "train_features": {name: values[training] for name, values in known.items()},
            "train_truth": truths[training],
            "train_ids": [ids[k] for k in training] if id_name is not None else None,
            "train_formulas": formulas and [formulas[k] for k in training],
        }
    elif fold_name is not None:
        folds = [_texts(table, fold_name)[k] for k in chosen]
        if "" not in folds and len(set(folds)) > 1:
            arguments["folds"] = folds
    return Predictions(arguments, truth_name, prediction_name, notes)


def _choose(
    table: pa.Table, path: Path, split: str | None, split_name: str | None, notes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to judge, and rows that were trained on."""
    rows = np.arange(table.num_rows)
    training = rows[:0]
    if split_name is not None:
        splits = np.array(_texts(table, split_name), dtype=object)
        names = list(dict.fromkeys(splits))
        others = [name for name in names if name.lower() not in _TRAINING]
        wanted = split or next(iter(others or names), "")
        if wanted not in names:
            raise PyhpcError(
                f"{path} has no rows of split {wanted!r}", f"It has {', '.join(names)}."
            )
        if len(names) > 1:
            notes.append(f"Judged are the rows of split {wanted!r}; there are {_listed(names)}.")
        rows = np.flatnonzero(splits == wanted)
        if wanted in others:
            training = np.flatnonzero([name.lower() in _TRAINING for name in splits])
    elif split is not None:
        raise PyhpcError(f"{path} has no column 'split'", "Leave out --split.")
    if "seed" in table.column_names:
        # Each repetition of a cross-validation has all rows again.
        seeds = np.array(_texts(table, "seed"), dtype=object)[rows]
        if len(set(seeds)) > 1:
            notes.append(f"Of {len(set(seeds))} repetitions, that of seed {seeds[0]} is judged.")
            rows = rows[seeds == seeds[0]]
    if "is_bound" in table.column_names:
        bounds = numbers(table, "is_bound")[rows] > 0
        if bounds.any():
            notes.append(f"{bounds.sum()} rows whose truth is known as a bound only are left out.")
            rows = rows[~bounds]
    return rows, training


def _read_features(path: Path, ids: Sequence[str], id_name: str) -> dict[str, NDArray[np.float64]]:
    """Features by id, NaN for rows that have none."""
    table = _read(path, text=(id_name,), ids=ids)
    given = id_name if id_name in table.column_names else None
    name = _column(table, path, "--id", given, _ID)
    found = _texts(table, name)
    places = {row: k for k, row in enumerate(found)}
    if len(places) < len(found):
        twice = next(row for k, row in enumerate(found) if places[row] != k)
        raise PyhpcError(f"{path} has two rows of the {name} {twice!r}", "Names must be unique.")
    rows = np.array([places.get(row, -1) for row in ids], dtype=np.int64)
    if (rows < 0).all():
        raise PyhpcError(
            f"{path} has none of the rows: their names are such as {ids[0]!r}, its {name} such as "
            f"{next(iter(_texts(_read(path, text=(id_name,)), name)), '')!r}",
            "Name rows alike in both tables, or pass --id.",
        )
    columns = [column for column in table.column_names if column != name]
    return {
        column: np.where(rows >= 0, numbers(table, column)[rows], np.nan)
        for column in columns
        if _is_feature(table, column)
    }


def _read_training(
    path: Path,
    truth_name: str,
    id_name: str | None,
    features: Path | None,
    wanted: tuple[str, ...],
) -> dict[str, Any]:
    table = _read(path, text=(id_name,))
    name = _optional_column(table, path, "--id", None, _ID)
    if id_name in table.column_names:
        name = id_name
    result: dict[str, Any] = {
        "train_ids": None if name is None else _texts(table, name),
        "train_formulas": _formulas(table),
    }
    truth = truth_name if truth_name in table.column_names else _find(table, _TRUTH)
    if truth is not None:
        result["train_truth"] = _numbers(table, path, truth)
    if features is None:
        known = {c: numbers(table, c) for c in wanted if c in table.column_names}
    elif name is None:
        raise PyhpcError(f"{path} has no column of ids to find the features by", "Pass --id.")
    else:
        known = _read_features(features, result["train_ids"], name)
    # Ids tell repeated rows without any feature.
    return result | {"train_features": known}


def _read(path: Path, *, text: Sequence[str | None], ids: Sequence[str] = ()) -> pa.Table:
    """Read a file, or the Parquet files of a folder, and of these only rows with such ids.

    Columns of CSV files that are named in ``text`` hold text, whatever it looks like.
    """
    if not path.exists():
        raise PyhpcError(f"there is no {path}", "Check the path.")
    is_csv = not path.is_dir() and path.suffix not in (".parquet", ".pq")
    try:
        if path.is_dir():
            table = _read_folder(path, text, ids)
        elif is_csv:
            table = _read_csv(path, text)
        else:
            table = pq.read_table(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        kind, first = "CSV" if is_csv else "Parquet", str(error).splitlines()[0]
        raise PyhpcError(f"{path} can't be read as {kind}: {first}", "Correct the file.") from None
    for name, count in Counter(table.column_names).items():
        if count > 1:
            raise PyhpcError(f"{path} has two columns {name!r}", "Rename one of them.")
    return table


def _read_csv(path: Path, text: Sequence[str | None]) -> pa.Table:
    with pa.csv.open_csv(path) as reader:
        columns = reader.schema.names
    # Names and labels such as 007 are no numbers.
    labels = {*_ID, *_FORMULA, *_FOLD, *_SPLIT, "seed"}
    types = {
        name: pa.string() for name in columns if name.strip().lower() in labels or name in text
    }
    convert = pa.csv.ConvertOptions(
        column_types=types, true_values=["true", "True"], false_values=["false", "False"]
    )
    return pa.csv.read_csv(path, convert_options=convert)


def _read_folder(path: Path, text: Sequence[str | None], ids: Sequence[str]) -> pa.Table:
    # The output of pyhpc featurize is named as its user knows it.
    folder = path / "parts" if (path / "parts").is_dir() else path
    files = sorted(str(file) for file in folder.glob("*.parquet"))
    if not files:
        raise PyhpcError(f"{path} has no Parquet files", "Pass the folder of a run, or a file.")
    dataset = ds.dataset(files)
    schema = dataset.schema
    # A run may have millions of rows, of which few were predicted.
    name = next((name for name in (*text, *_ID) if name in schema.names), None)
    if not ids or name is None or schema.field(name).type != pa.string():
        return dataset.to_table()
    return dataset.to_table(filter=ds.field(name).isin(list(dict.fromkeys(ids))))


def _column(
    table: pa.Table, path: Path, option: str, given: str | None, usual: Sequence[str]
) -> str:
    found = _optional_column(table, path, option, given, usual)
    if found is None:
        columns = table.column_names
        remedy = f"Name it with {option}; it has {_listed(columns)}."
        if any(re.fullmatch(r"[-+.\deE]+", name) for name in columns):
            remedy = "It seems to have no header line; add one, such as: id,truth,prediction"
        raise PyhpcError(f"{path} has no column that looks like {option.lstrip('-')}", remedy)
    return found


def _optional_column(
    table: pa.Table, path: Path, option: str, given: str | None, usual: Sequence[str]
) -> str | None:
    if given is not None and given not in table.column_names:
        raise PyhpcError(
            f"{path} has no column {given!r}", f"{option} may be {_listed(table.column_names)}."
        )
    return given or _find(table, usual)


def _find(table: pa.Table, usual: Sequence[str]) -> str | None:
    """Find a column by its usual names, or the only one that has such a word in its name."""
    plain: dict[str, str] = {
        re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in table.column_names
    }
    for name in usual:
        if name in plain:
            return plain[name]
    worded: list[str] = [
        column
        for name, column in plain.items()
        if set(name.split("_")) & (set(usual) - {"id", "y"})
    ]
    return worded[0] if len(worded) == 1 else None


def _numbers(table: pa.Table, path: Path, name: str) -> NDArray[np.float64]:
    """Column as numbers, NaN for empty cells, or an error that names the first bad row."""
    column = table[name]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return (
            np.full(len(column), np.nan) if pa.types.is_null(column.type) else numbers(table, name)
        )
    values = np.full(len(column), np.nan)
    for k, cell in enumerate(column.to_pylist()):
        try:
            values[k] = float(cell) if cell and cell.strip() else np.nan
        except ValueError:
            raise PyhpcError(
                f"{path}, row {k + 1}: {name} is {cell!r}, which is no number",
                "Correct the cell, or leave it empty where there is no value.",
            ) from None
    return values


def _formulas(table: pa.Table) -> list[str] | None:
    name = next((name for name in table.column_names if name.lower() in _FORMULA), None)
    return None if name is None else _texts(table, name)


def _texts(table: pa.Table, name: str) -> list[str]:
    """Column as text, empty where there is none."""
    texts: list[str] = pc.fill_null(table[name].cast(pa.string()), "").to_pylist()
    return texts


def _is_feature(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return numeric and name.strip() != "" and name.lower() not in _NO_FEATURES


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
