"""Models by name, and as JSON or TOML."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from pyhpc.errors import PyhpcError
from pyhpc.models.losses import LOSSES, Loss
from pyhpc.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[str, str] = {
    "mean": "pyhpc.models.baselines:Mean",
    "nearest": "pyhpc.models.baselines:Nearest",
    "xgboost": "pyhpc.models.boosting:XGBoost",
    "xgboost_aft": "pyhpc.models.boosting:XGBoostAFT",
    "quantile_trees": "pyhpc.models.quantile_trees:QuantileTrees",
    "random_forest": "pyhpc.models.forests:RandomForest",
    "extra_trees": "pyhpc.models.forests:ExtraTrees",
    "gaussian_process": "pyhpc.models.gaussian_process:GaussianProcess",
    "blend": "pyhpc.models.ensembles:Blend",
    "bagged": "pyhpc.models.ensembles:Bagged",
    "cross_fitted": "pyhpc.models.cross_fitted:CrossFitted",
    "gated": "pyhpc.models.gates:Gated",
    "soft_gate": "pyhpc.models.gates:SoftGate",
    "residual": "pyhpc.models.residuals:Residual",
    "raw_target": "pyhpc.models.raw_target:RawTarget",
    "tuned": "pyhpc.models.tuning:Tuned",
}
"""Import locations, ``module:class``, by kind."""


def model_class(kind: str, where: str = "model") -> type[Model]:
    """Find the class of a kind.

    Raises
    ------
    PyhpcError
        If there is no such kind; the message lists the valid ones.
    """
    if kind not in KINDS:
        raise PyhpcError(f"{where}: unknown kind {kind!r}", f"Allowed: {', '.join(KINDS)}.")
    module, _, name = KINDS[kind].partition(":")
    found: type[Model] = getattr(import_module(module), name)
    return found


def to_spec(model: Model) -> dict[str, Any]:
    """Write a model as JSON-able values: its ``kind`` and its parameters."""
    fields = dataclasses.fields(model)  # type: ignore[arg-type]
    return {"kind": model.kind} | {f.name: _plain(getattr(model, f.name)) for f in fields}


def from_spec(spec: Mapping[str, Any], where: str = "model") -> Model:
    """Make a model from its ``kind`` and parameters; those left out have their defaults.

    Parameters
    ----------
    spec : mapping
        As :func:`to_spec` writes it, or as read from a TOML file.
    where : str
        What the messages call it, such as ``strategies.gated``.

    Raises
    ------
    PyhpcError
        If a key is unknown or missing, or a value is of the wrong type or not allowed; the message
        names the key and what is allowed.
    """
    if "kind" not in spec:
        raise PyhpcError(f"{where}: no kind is given", f"Allowed: {', '.join(KINDS)}.")
    return _made(model_class(spec["kind"], f"{where}.kind"), spec, where)


def _loss(value: object, where: str) -> Loss:
    """Read the kind of a loss, or a table of its kind and parameters."""
    if isinstance(value, Loss):
        return value
    spec = {"kind": value} if isinstance(value, str) else _checked(value, dict, where)
    if spec.get("kind") not in LOSSES:
        raise PyhpcError(
            f"{where}: unknown kind {spec.get('kind')!r}", f"Allowed: {', '.join(LOSSES)}."
        )
    return _made(LOSSES[spec["kind"]], spec, where)


_Made = TypeVar("_Made", bound=Model | Loss)


def _made(kind: type[_Made], spec: Mapping[str, Any], where: str) -> _Made:
    """Make a model or a loss from its parameters."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in spec.items() if name != "kind"}
    for name in given:
        if name not in fields:
            raise PyhpcError(f"{where}: unknown key {name!r}", f"Allowed: {', '.join(fields)}.")
    values = {
        name: _typed(value, str(fields[name].type), f"{where}.{name}")
        for name, value in given.items()
    }
    missing = [
        name
        for name, f in fields.items()
        if name not in given
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise PyhpcError(f"{where}: the key {missing[0]!r} is missing", "It has no default.")
    try:
        return kind(**values)
    except ValueError as error:
        raise PyhpcError(f"{where}: {error}", "Correct the value.") from None


def _plain(value: object) -> Any:
    if isinstance(value, Model):
        return to_spec(value)
    if isinstance(value, Loss):
        parameters = dataclasses.asdict(value)  # type: ignore[call-overload]
        return {"kind": value.kind} | parameters if parameters else value.kind
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
}
"""Accepted values by annotation of the field."""


def _typed(value: object, annotation: str, where: str) -> object:
    """Check a value against the annotation of its field, and make the models inside of it."""
    if annotation == "Model":
        return value if isinstance(value, Model) else from_spec(_checked(value, dict, where), where)
    if annotation == "Loss":
        return _loss(value, where)
    if annotation == "Grid":
        return _grid(value, where)
    if annotation.startswith("tuple["):
        item = annotation.removeprefix("tuple[").removesuffix(", ...]")
        entries = tuple(value) if isinstance(value, list) else _checked(value, tuple, where)
        return tuple(_typed(entry, item, f"{where}[{k}]") for k, entry in enumerate(entries))
    accepted = _TYPES[annotation]
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        raise PyhpcError(f"{where} = {value!r}", f"Expected a value of type {annotation}.")
    return float(value) if float in accepted and isinstance(value, int) else value


def _grid(value: object, where: str) -> tuple[tuple[str, tuple[object, ...]], ...]:
    """Read a table of lists, or what :func:`to_spec` makes of it: a list of pairs."""
    pairs = value.items() if isinstance(value, dict) else _checked(value, list, where)
    return tuple((name, tuple(_checked(values, list, f"{where}.{name}"))) for name, values in pairs)


_T = TypeVar("_T")


def _checked(value: object, kind: type[_T], where: str) -> _T:
    if not isinstance(value, kind):
        expected = "table with a kind" if kind is dict else "list"
        raise PyhpcError(f"{where} = {value!r}", f"Expected a {expected}.")
    return value
