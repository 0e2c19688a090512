"""All fits of a study: which there are, which are done, how the rest is run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from pyhpc.errors import PyhpcError
from pyhpc.executors import Job as ShardJob
from pyhpc.models import from_spec
from pyhpc.records import Record
from pyhpc.shards import Guard, Output, Plan, ShardSize, finish, pack
from pyhpc.shards.commit import read_manifest
from pyhpc.shards.files import digest, to_json
from pyhpc.studies.costs import estimate_seconds
from pyhpc.studies.fitting import fold_column
from pyhpc.studies.specs import resolve_model, without
from pyhpc.tasks.fit import FitTask, code_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pyhpc.studies.folds import MadeFolds
    from pyhpc.studies.job import Experiment, Job
    from pyhpc.studies.structures import Runner
    from pyhpc.studies.table import StudyTable

WITHOUT_LEAK = "_no_leak"
"""What is added to the name of an experiment that is run again without the leaking column."""

_TEST = "test"
"""Last part of the name of a fit to all training rows, which predicts the test rows."""

_GUARD = Guard(record_seconds=3600.0, record_bytes=16 * 2**30)
"""A fit may take long and much, if it is of a large table."""


_PARTED = "baseline"
"""Parameter of strategies whose explanations tell a baseline from a specialist."""


@dataclass(frozen=True)
class Fit:
    """One fit.

    Attributes
    ----------
    name : str
        ``experiment/split/seed/fold``, or ``experiment/test``.
    experiment : str
        Name of the experiment, with :data:`WITHOUT_LEAK` where it is run without the leak.
    split : str
        Name of the split, empty for the fit to all training rows.
    seed, fold : int
        Repetition and fold; 0 and -1 for the fit to all training rows.
    key : str
        Hash of all that the result depends on.
    order : dict
        What the task is told, without the hash of the table's file.
    seconds : float
        Estimated time.
    """

    name: str
    experiment: str
    split: str
    seed: int
    fold: int
    key: str
    order: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Variant:
    """An experiment as it is run.

    Attributes
    ----------
    name : str
        Its name.
    experiment : Experiment
        What the job file says.
    model : dict
        Full specification of the model.
    """

    name: str
    experiment: Experiment
    model: dict[str, Any]


def is_without_leak(name: str) -> bool:
    """Say whether an experiment is the one without the leak of another."""
    return name.endswith(WITHOUT_LEAK)


def list_variants(job: Job, study: StudyTable) -> list[Variant]:
    """List the experiments with full specifications of their models, checked.

    Raises
    ------
    PyhpcError
        If a specification is not right; the message names the experiment and the key.
    """
    variants = []
    for k, experiment in enumerate(job.experiments):
        where = f"experiments[{k}].model"
        model = resolve_model(job, experiment.model, study.features, where)
        from_spec(model, where)
        variants.append(Variant(experiment.name, experiment, model))
        if experiment.leak_audit:
            clean = without(model, job.target.leak)
            variants.append(Variant(experiment.name + WITHOUT_LEAK, experiment, clean))
    whole = {v.name for v in variants if _PARTED not in v.model}
    for k, comparison in enumerate(job.comparisons):
        if comparison.part and comparison.worse in whole:
            raise PyhpcError(
                f"comparisons[{k}].worse: {comparison.worse} has no {comparison.part}",
                "Only strategies of a baseline and a specialist have them.",
            )
    return variants


def plan_fits(
    job: Job,
    study: StudyTable,
    variants: Iterable[Variant],
    made: Mapping[tuple[str, int], MadeFolds],
    device: str,
) -> list[Fit]:
    """List every fit of a study, with its key."""

    @cache
    def column(name: str) -> str:
        parts = [
            np.ascontiguousarray(table[name].to_numpy(zero_copy_only=False)).tobytes()
            for table in (study.table, study.auxiliary)
        ]
        return digest(name.encode() + b"\0" + b"".join(parts))

    targets = {
        name: digest(b"".join(part.tobytes() for part in (one.values, one.lower, one.upper)))
        for name, one in (("target", study.target), ("learned", study.learned))
    }
    n_test = study.table.num_rows - study.n_train
    n_learned = study.n_train + study.auxiliary.num_rows
    fits = []
    for variant in variants:
        used = from_spec(variant.model).columns
        experiment = variant.experiment
        repetitions = [
            (name, seed, fold, made[name, seed])
            for name in experiment.splits
            for seed in job.splits[name].seeds
            for fold in range(len(made[name, seed].folds))
        ]
        target = "target" if experiment.own_label else "learned"
        measured = (repetitions[0][0], repetitions[0][1]) if repetitions else None
        final = [("", 0, -1, None)] if experiment.test and n_test else []
        for name, seed, fold, ours in [*repetitions, *final]:
            order = {
                "model": variant.model,
                "folds": fold_column(name, seed) if name else "",
                "fold": fold,
                "target": target,
                "n_train": study.n_train,
                "n_auxiliary": study.auxiliary.num_rows,
                "coerced": experiment.coerced,
                "seed": job.seed + seed,
                "threads": job.threads,
                "device": device,
                "importance": experiment.importance and (name, seed) == measured,
                "keep": not name,
            }
            depends = {
                **{key: value for key, value in order.items() if key != "folds"},
                "assignment": ours.digest if ours else "test",
                "columns": [column(name) for name in used],
                "targets": targets[target],
                "versions": code_versions(),
            }
            key = digest(to_json(depends))
            label = f"{variant.name}/{name}/{seed}/{fold}" if name else f"{variant.name}/{_TEST}"
            fits.append(
                Fit(
                    label,
                    variant.name,
                    name,
                    seed,
                    fold,
                    key,
                    order | {"key": key},
                    estimate_seconds(variant.model, n_learned),
                )
            )
    return fits


def done_fits(work: Path, keys: set[str], *, only_finished: bool = False) -> dict[str, Any]:
    """Results that are on the disk, by key: rows of :data:`pyhpc.tasks.fit.SCHEMA`.

    They lie in the outputs of all runs that were ever made in this folder, complete or not: what
    is committed there is whole.
    """
    found: dict[str, Any] = {}
    for part in _committed_parts(work, only_finished=only_finished):
        rows = pq.read_table(part).to_pylist()
        found.update((row["key"], row) for row in rows if row["key"] in keys)
    return found


def count_test_fits(work: Path) -> dict[str, int]:
    """Count how many different models of each experiment were ever asked for the test rows.

    Those of earlier versions of the job count too: whoever changes a model after a look at the
    test rows has begun to fit to them.

    Parameters
    ----------
    work : Path
        Folder of all runs.
    """
    seen: dict[str, set[str]] = {}
    for part in _committed_parts(work):
        for row in pq.read_table(part, columns=["id", "key"]).to_pylist():
            experiment, _, last = row["id"].rpartition("/")
            if last == _TEST:
                seen.setdefault(experiment, set()).add(row["key"])
    return {experiment: len(keys) for experiment, keys in sorted(seen.items())}


def _committed_parts(work: Path, *, only_finished: bool = False) -> Iterator[Path]:
    for folder in sorted(work.glob("fits-*")):
        output = Output(folder)
        if not output.plan.exists() or (only_finished and not output.final_manifest.exists()):
            continue
        plan = Plan.load(output)
        for index in range(len(plan.shards)):
            manifest = read_manifest(output, plan, index)
            if manifest is not None:
                yield output.parts / manifest["part"]["name"]


def run_fits(fits: list[Fit], table: Path, table_sha256: str, work: Path, run: Runner) -> None:
    """Run fits that are not done.

    Parameters
    ----------
    fits : list of Fit
        All fits of the study; equal keys are run once.
    table : Path
        File from :func:`pyhpc.studies.table.store_table`.
    table_sha256 : str
        Its hash.
    work : Path
        Folder for the runs.
    run : callable
        Runs a job to its end.

    Raises
    ------
    PyhpcError
        If a fit failed; the message names it.
    """
    unique = {fit.key: fit for fit in fits}
    # A run that was broken off is gone on with, if the same is to be done as then. Else what it
    # has committed is taken, and the rest is planned anew.
    for only_finished in (True, False):
        done = done_fits(work, set(unique), only_finished=only_finished)
        missing = [fit for key, fit in unique.items() if key not in done]
        if not missing:
            return
        name = f"fits-{digest(to_json([table_sha256, sorted(f.key for f in missing)]))[:12]}"
        output = Output(work / name)
        if output.plan.exists():
            break
    packing = pack(
        _records(missing, table, table_sha256),
        output.shards,
        inputs={"table": table_sha256, "fits": len(missing)},
        cost=lambda record: json.loads(record.text)["seconds"],
        size=ShardSize(records=20, seconds=15.0, batch_records=4, batch_seconds=5.0),
    )
    task = FitTask()
    plan = Plan.make(output, packing, task, _GUARD).create(output)
    run(ShardJob(output, plan, task, packing.folder))
    finish(output, plan)
    failed = pq.read_table(output.ledger, filters=[("outcome", "=", "quarantined")]).to_pylist()
    if failed:
        raise PyhpcError(
            f"{len(failed)} of {len(missing)} fits failed, first {failed[0]['id']}: "
            f"{failed[0]['reasons'][0]['message']}",
            "Correct the job file and call again: all other fits are kept.",
        )


def _records(fits: Iterable[Fit], table: Path, table_sha256: str) -> Iterator[Record]:
    for fit in fits:
        order = fit.order | {"table": table_sha256, "seconds": fit.seconds}
        text = json.dumps(order, sort_keys=True, separators=(",", ":")).encode()
        yield Record(fit.name, text, "json", str(table), 0, len(text))
