"""The job file of a study: TOML in, checked values out."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhpc.datasets import DATASETS
from pyhpc.errors import PyhpcError
from pyhpc.models import METRICS
from pyhpc.studies.keys import Keys, checked
from pyhpc.tasks import make_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyhpc.shards import Task

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
"""What ``data.lattice`` names, in this order."""

SPLIT_KINDS = ("random", "grouped", "leave_one_out", "clusters", "stratified", "target_tails")
_WITHOUT_COLUMNS = ("random", "target_tails")
TARGET_QUINTILE = "target_quintile"
"""What a stratified split calls the fifths of the training targets."""

TRANSFORMS = ("log10", "none")
PARTS = ("baseline", "specialist")
"""What strategies are made of, and comparisons may name."""


@dataclass(frozen=True, slots=True)
class Data:
    """Where the rows come from, and what their columns mean.

    Attributes
    ----------
    folder : Path
        Folder of the files.
    dataset : str
        Key of :data:`pyhpc.datasets.DATASETS` whose hashes the files must have, empty for none.
    train, test : str
        Tables (CSV, Parquet, JSON); ``test`` may be empty.
    structures : str
        File or folder with the structures, whose records have the names of the rows; may be empty.
    structure : str
        Column with the structures, in place of ``structures``: CIF text or pymatgen's JSON.
    id, composition, cell_composition, space_group : str
        Columns, any of which may be empty; rows without an id are numbered. The second holds
        formulas, the third the atoms in the cell.
    lattice : tuple of str
        Six columns with the cell (angstrom, degrees), or none.
    numbers : tuple of str
        Further columns of numbers that may be features.
    other_labels : tuple of str
        Columns with the target from other sources, which only show how far labels disagree.
    renamed : dict
        By column, what stands for what: ``{"Family": {"argyrodite": "argyrodites"}}``.
    """

    folder: Path
    dataset: str
    train: str
    test: str
    structures: str
    structure: str
    id: str
    composition: str
    cell_composition: str
    space_group: str
    lattice: tuple[str, ...]
    numbers: tuple[str, ...]
    other_labels: tuple[str, ...]
    renamed: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """What is to be predicted.

    Attributes
    ----------
    column : str
        Column of the tables; its cells are numbers or bounds such as ``<1E-10``.
    transform : str
        ``"log10"`` or ``"none"``.
    label : str
        What the axes of figures say, with the unit.
    leak : str
        Name of a column to make that is 1 where the target is a bound: it knows the target, and
        serves to show what such a column does. Empty for none.
    training_labels : tuple of str
        Columns with the same quantity from other sources, to train on: models are fitted to the
        mean of a row's labels, and to rows that have only these. Scores are against ``column``.
    """

    column: str
    transform: str
    label: str
    leak: str
    training_labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A way to make folds.

    Attributes
    ----------
    name : str
        Name of the split.
    kind : str
        Of :data:`SPLIT_KINDS`.
    folds : int
        Number of folds; ``leave_one_out`` makes one per cluster, ``clusters`` as many clusters by
        k-means, each of which is left out once, and ``target_tails`` two.
    seeds : tuple of int
        One repetition per seed.
    columns : tuple of str
        Columns that make the groups, clusters or strata; ``clusters`` takes features, by their
        names or patterns, strata may be features or :data:`TARGET_QUINTILE`.
    share : float
        Part of the rows in each of the ``target_tails``.
    separators : dict
        By column, what separates several keys in a cell.
    min_size : int
        Rows from which a cluster is a fold.
    label : str
        What reports call it.
    """

    name: str
    kind: str
    folds: int
    seeds: tuple[int, ...]
    columns: tuple[str, ...]
    separators: Mapping[str, str]
    min_size: int
    share: float
    label: str


@dataclass(frozen=True, slots=True)
class Subset:
    """Rows whose scores are reported apart.

    Attributes
    ----------
    name : str
        Name of the subset.
    column : str
        Feature, or column of text.
    equals : tuple
        Values that belong to it.
    label : str
        What reports call it.
    """

    name: str
    column: str
    equals: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """A model, the splits that judge it, and what is compared with it.

    Attributes
    ----------
    name : str
        Name, as in the files of the results.
    section : str
        Key of ``sections``: the table of the report in which it stands.
    model : dict or str
        Its specification, with patterns of columns and names of models, or the name of one.
    splits : tuple of str
        Names of splits.
    test : bool
        Whether it is fitted to all training rows at the end, and the test rows predicted.
    coerced : bool
        Whether bounds are taken for measurements.
    own_label : bool
        Whether it is fitted without ``target.training_labels``.
    leak_audit : bool
        Whether it is run a second time without the column of ``target.leak``.
    importance : bool
        Whether the importance of its features is measured, on the first repetition of its
        first split.
    diagnose : bool
        Whether the report looks for what is wrong with its predictions.
    published : dict
        Figures to stand beside its own, by metric.
    note : str
        A line for the report.
    """

    name: str
    section: str
    model: Mapping[str, Any] | str
    splits: tuple[str, ...]
    test: bool
    coerced: bool
    own_label: bool
    leak_audit: bool
    importance: bool
    diagnose: bool
    published: Mapping[str, float]
    note: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two experiments that are compared row by row on the same folds.

    Attributes
    ----------
    name : str
        What the report calls it.
    better, worse : str
        Experiments; a positive gain is in favour of the first.
    part : str
        What of the worse one is meant: empty for its predictions, ``"baseline"`` or
        ``"specialist"`` for those of this part of a strategy, which the file names as
        ``worse = "experiment.baseline"``.
    """

    name: str
    better: str
    worse: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A study, as its file says.

    Attributes
    ----------
    name, title, about : str
        Name of the study, heading and introduction of the report.
    groups : str
        Split whose groups hold the rows that depend on each other, over which intervals are
        drawn; empty: all rows are independent.
    data : Data
        Rows.
    target : TargetColumn
        What is to be predicted.
    featurize : dict
        Parameters of the task that makes features of structures.
    features : dict of str to tuple of str
        Sets of columns: names, patterns, or ``@set``.
    splits : dict of str to Split
        Splits by name.
    subsets : tuple of Subset
        Rows whose scores are reported apart.
    models : dict of str to dict
        Specifications of models by name.
    sections : dict of str to str
        Headings of the report's tables by key.
    experiments : tuple of Experiment
        What is run.
    comparisons : tuple of Comparison
        What is compared.
    seed, threads : int
        Of the fits; results are the same for the same number of threads.
    device : str
        ``"cpu"`` or ``"cuda"``.
    raw : dict
        The file as it was read.
    text : str
        The file.
    """

    name: str
    title: str
    about: str
    groups: str
    data: Data
    target: TargetColumn
    featurize: Mapping[str, Any]
    features: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, Split]
    subsets: tuple[Subset, ...]
    models: Mapping[str, Mapping[str, Any]]
    sections: Mapping[str, str]
    experiments: tuple[Experiment, ...]
    comparisons: tuple[Comparison, ...]
    seed: int
    threads: int
    device: str
    raw: Mapping[str, Any]
    text: str

    def task(self) -> Task:
        """Task that makes the features of structures."""
        return make_task("featurize", dict(self.featurize))


def read_job(path: Path, *, data: Path | None = None) -> Job:
    """Read a job file.

    Parameters
    ----------
    path : Path
        The file. Folders that it names are relative to it.
    data : Path, optional
        Folder of the data, in place of those that the file names.

    Raises
    ------
    PyhpcError
        If the file can't be read, or a key is unknown, missing or has a value that is not allowed.
        The message names the key and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise PyhpcError(f"{path} can't be read: {error.strerror}", "Name a job file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PyhpcError(f"{path} is no TOML: {error}", "Correct the file.") from None
    try:
        return _job(raw, text, path.parent, data)
    except PyhpcError as error:
        raise PyhpcError(f"{path}: {error.message}", error.remedy) from None


def _job(raw: dict[str, Any], text: str, home: Path, data: Path | None) -> Job:
    keys = Keys(raw)
    study = Keys(keys.take("study", dict), "study")
    compute = Keys(keys.take("compute", dict, {}), "compute")
    splits = {
        name: _split(name, Keys(checked(value, dict, f"splits.{name}"), f"splits.{name}"))
        for name, value in keys.take("splits", dict).items()
    }
    sections = keys.take("sections", dict, {"main": "Experiments"})
    experiments = [
        _experiment(
            Keys(checked(value, dict, f"experiments[{k}]"), f"experiments[{k}]"), splits, sections
        )
        for k, value in enumerate(keys.take("experiments", list))
    ]
    job = Job(
        name=study.take("name", str),
        title=study.take("title", str),
        about=study.take("about", str, ""),
        groups=study.choose("groups", ("", *splits), ""),
        data=_data(Keys(keys.take("data", dict), "data"), home, data),
        target=_target(Keys(keys.take("target", dict), "target")),
        featurize=keys.take("featurize", dict, {}),
        features={
            name: Keys(raw["features"], "features").texts(name)
            for name in keys.take("features", dict, {})
        },
        splits=splits,
        subsets=tuple(
            _subset(name, Keys(checked(value, dict, f"subsets.{name}"), f"subsets.{name}"))
            for name, value in keys.take("subsets", dict, {}).items()
        ),
        models=keys.take("models", dict, {}),
        sections=sections,
        experiments=tuple(experiments),
        comparisons=tuple(
            _comparison(Keys(checked(value, dict, f"comparisons[{k}]"), f"comparisons[{k}]"))
            for k, value in enumerate(keys.take("comparisons", list, []))
        ),
        seed=compute.take("seed", int, 0),
        threads=compute.take("threads", int, 1),
        device=compute.choose("device", ("cpu", "cuda", "auto"), "auto"),
        raw=raw,
        text=text,
    )
    study.close()
    compute.close()
    keys.close()
    _check(job)
    return job


def _data(keys: Keys, home: Path, given: Path | None) -> Data:
    folders = keys.texts("folders")
    lattice = keys.texts("lattice", [])
    if len(lattice) not in (0, len(LATTICE)):
        raise PyhpcError(
            f"{keys.name('lattice')} names {len(lattice)} columns",
            f"Expected those of {', '.join(LATTICE)}.",
        )
    candidates = [given] if given else [home / folder for folder in folders]
    dataset = keys.take("dataset", str, "")
    if dataset and dataset not in DATASETS:
        raise PyhpcError(
            f"{keys.name('dataset')} = {dataset!r} is not allowed",
            f"Allowed: {', '.join(DATASETS)}.",
        )
    renamed = keys.take("renamed", dict, {})
    for column, table in renamed.items():
        where = f"{keys.name('renamed')}.{column}"
        for old, new in checked(table, dict, where).items():
            checked(new, str, f"{where}.{old}")
    found = Data(
        folder=next((folder for folder in candidates if folder.is_dir()), candidates[0]),
        dataset=dataset,
        train=keys.take("train", str),
        test=keys.take("test", str, ""),
        structures=keys.take("structures", str, ""),
        structure=keys.take("structure", str, ""),
        id=keys.take("id", str, ""),
        composition=keys.take("composition", str, ""),
        cell_composition=keys.take("cell_composition", str, ""),
        space_group=keys.take("space_group", str, ""),
        lattice=lattice,
        numbers=keys.texts("numbers", []),
        other_labels=keys.texts("other_labels", []),
        renamed=renamed,
    )
    keys.close()
    if found.structures and (found.structure or not found.id):
        raise PyhpcError(
            f"{keys.name('structures')} does not go with "
            + (keys.name("structure") if found.structure else f"rows without {keys.name('id')}"),
            "Name either the column with the structures, or where those of each id are.",
        )
    return found


def _target(keys: Keys) -> TargetColumn:
    column = keys.take("column", str)
    found = TargetColumn(
        column=column,
        transform=keys.choose("transform", TRANSFORMS, "none"),
        label=keys.take("label", str, column),
        leak=keys.take("leak", str, ""),
        training_labels=keys.texts("training_labels", []),
    )
    if column in found.training_labels:
        raise PyhpcError(
            f"{keys.name('training_labels')} names {column!r}, which is {keys.name('column')}",
            "Name other sources of the same quantity, or none.",
        )
    keys.close()
    return found


def _split(name: str, keys: Keys) -> Split:
    kind = keys.choose("kind", SPLIT_KINDS)
    columns = keys.texts("columns", [])
    if (kind in _WITHOUT_COLUMNS) == bool(columns):
        raise PyhpcError(
            f"{keys.name('columns')} does not go with kind = {kind!r}",
            f"{' and '.join(_WITHOUT_COLUMNS)} have none, all others at least one.",
        )
    separators = keys.take("separators", dict, {})
    for column, separator in separators.items():
        checked(separator, str, f"{keys.name('separators')}.{column}")
    found = Split(
        name=name,
        kind=kind,
        folds=keys.take("folds", int, 5),
        seeds=keys.numbers("seeds", [0]),
        columns=columns,
        separators=separators,
        min_size=keys.take("min_size", int, 1),
        share=keys.take("share", float, 0.1),
        label=keys.take("label", str, name),
    )
    if not found.seeds or found.folds < 2:
        raise PyhpcError(
            f"{keys.name('seeds')} and {keys.name('folds')} make no folds",
            "Give at least one seed and two folds.",
        )
    keys.close()
    return found


def _subset(name: str, keys: Keys) -> Subset:
    found = Subset(
        name=name,
        column=keys.take("column", str),
        equals=keys.texts("equals"),
        label=keys.take("label", str, name),
    )
    keys.close()
    return found


def _experiment(keys: Keys, splits: Mapping[str, Split], sections: Mapping[str, str]) -> Experiment:
    published = Keys(keys.take("published", dict, {}), keys.name("published"))
    figures = {metric: published.take(metric, float, None) for metric in METRICS}
    published.close()
    found = Experiment(
        name=keys.take("name", str),
        section=keys.choose("section", tuple(sections), next(iter(sections))),
        model=keys.model("model"),
        splits=keys.texts("splits"),
        test=keys.take("test", bool, True),
        coerced=keys.take("coerced", bool, False),
        own_label=keys.take("own_label", bool, False),
        leak_audit=keys.take("leak_audit", bool, False),
        importance=keys.take("importance", bool, False),
        diagnose=keys.take("diagnose", bool, False),
        published={name: value for name, value in figures.items() if value is not None},
        note=keys.take("note", str, ""),
    )
    for split in found.splits:
        if split not in splits:
            raise PyhpcError(
                f"{keys.name('splits')} names {split!r}, which is no split",
                f"Allowed: {', '.join(splits)}.",
            )
    keys.close()
    return found


def _comparison(keys: Keys) -> Comparison:
    name, better = keys.take("name", str), keys.take("better", str)
    worse, dot, part = keys.take("worse", str).partition(".")
    if dot and part not in PARTS:
        raise PyhpcError(
            f"{keys.name('worse')} names the part {part!r} of {worse!r}",
            f"Allowed: {', '.join(PARTS)}.",
        )
    found = Comparison(name, better, worse, part)
    keys.close()
    return found


def _check(job: Job) -> None:
    """Refuse what no single table shows."""
    names = [experiment.name for experiment in job.experiments]
    for k, name in enumerate(names):
        if name in names[:k] or not name.replace("_", "").replace("-", "").isalnum():
            raise PyhpcError(
                f"experiments[{k}].name = {name!r} is taken, or is no name of a file",
                "Use letters, digits, - and _, each name once.",
            )
    for k, comparison in enumerate(job.comparisons):
        for key in ("better", "worse"):
            if getattr(comparison, key) not in names:
                raise PyhpcError(
                    f"comparisons[{k}].{key} = {getattr(comparison, key)!r} is no experiment",
                    f"Allowed: {', '.join(names)}.",
                )
    if any(e.leak_audit for e in job.experiments) and not job.target.leak:
        raise PyhpcError(
            "leak_audit needs target.leak", "Name the column that knows the target there."
        )
    job.task()
