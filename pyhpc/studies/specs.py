"""From what a job file says of models to models: names, patterns and parts filled in."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import TYPE_CHECKING, Any

from pyhpc.errors import PyhpcError
from pyhpc.models.registry import model_class
from pyhpc.models.residuals import BASELINE_PREDICTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyhpc.studies.job import Job

_DEPTH = 20
"""More levels than that are a circle."""


def resolve_model(
    job: Job, spec: Mapping[str, Any] | str, columns: Sequence[str], where: str
) -> dict[str, Any]:
    """Fill in a specification of a model.

    ``like = "name"`` takes the keys of ``models.name`` that are not given; a text in place of a
    model is the name of one; lists of columns may hold patterns (``magpie_*``), ``@set`` of
    ``[features]``, and ``!pattern``, which takes columns away from those before it.

    Parameters
    ----------
    job : Job
        The study, with its named models and sets of columns.
    spec : mapping or str
        Specification, or the name of one.
    columns : sequence of str
        Columns of the table that may be features, in order.
    where : str
        What the messages call it.

    Returns
    -------
    dict
        For :func:`pyhpc.models.from_spec`.

    Raises
    ------
    PyhpcError
        If a name or a pattern finds nothing.
    """
    return _resolve(job, spec, columns, where, 0)


def expand(
    job: Job, patterns: Sequence[str], columns: Sequence[str], where: str, depth: int = 0
) -> tuple[str, ...]:
    """Columns that a list of names, patterns and ``@sets`` means, each once, in its order."""
    found: dict[str, None] = {}
    for pattern in patterns:
        if pattern.startswith("@"):
            name = pattern[1:]
            if name not in job.features or depth > _DEPTH:
                raise PyhpcError(
                    f"{where} names {pattern!r}, which is no set of features",
                    f"Allowed: {', '.join('@' + known for known in job.features)}.",
                )
            members: Sequence[str] = expand(
                job, job.features[name], columns, f"features.{name}", depth + 1
            )
        elif pattern.startswith("!"):
            for name in fnmatch.filter(list(found), pattern[1:]):
                del found[name]
            continue
        elif pattern == BASELINE_PREDICTION:
            members = [pattern]
        else:
            members = fnmatch.filter(columns, pattern)
        if not members:
            raise PyhpcError(
                f"{where} names {pattern!r}, which is no column of the table",
                "See table.parquet in the results, pyhpc features, or the CSV's own columns.",
            )
        found.update(dict.fromkeys(members))
    return tuple(found)


def without(spec: Any, column: str) -> Any:
    """Specification without a column, wherever it is used."""
    if isinstance(spec, dict):
        return {key: without(value, column) for key, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [without(item, column) for item in spec if item != column]
    return spec


def _resolve(
    job: Job, spec: Mapping[str, Any] | str, columns: Sequence[str], where: str, depth: int
) -> dict[str, Any]:
    if isinstance(spec, str):
        spec = {"like": spec}
    given = dict(spec)
    while "like" in given:
        name, depth = given.pop("like"), depth + 1
        if name not in job.models or depth > _DEPTH:
            raise PyhpcError(
                f"{where} names {name!r}, which is no model",
                f"Allowed: {', '.join(job.models)}.",
            )
        given = dict(job.models[name]) | given
    if "kind" not in given:
        return given
    kinds = {f.name: str(f.type) for f in dataclasses.fields(model_class(given["kind"], where))}  # type: ignore[arg-type]
    for key, value in given.items():
        kind, inside = kinds.get(key), f"{where}.{key}"
        if kind == "Model" and isinstance(value, str | dict):
            given[key] = _resolve(job, value, columns, inside, depth + 1)
        elif kind == "tuple[Model, ...]" and isinstance(value, list):
            given[key] = [
                _resolve(job, item, columns, f"{inside}[{k}]", depth + 1)
                for k, item in enumerate(value)
            ]
        elif kind == "tuple[str, ...]" and isinstance(value, list):
            given[key] = list(expand(job, value, columns, inside))
        elif kind == "tuple[tuple[str, ...], ...]" and isinstance(value, list):
            given[key] = [
                list(expand(job, item, columns, f"{inside}[{k}]")) for k, item in enumerate(value)
            ]
    return given
