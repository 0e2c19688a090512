"""The one interface of models and strategies.

A :class:`Model` says what is to be fitted: a small frozen dataclass that reads and writes as JSON.
Fitting it to a table gives a :class:`Fitted`, which predicts, explains and saves itself. A
strategy is a model that holds models, so that strategies nest.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pyhpc.models.compute import Compute
    from pyhpc.models.targets import Target

_FORMAT = 1
_DESCRIPTION = "model.json"
_ARRAYS = "arrays.npz"


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """All that a fit has found, in parts that can be written without pickle.

    Attributes
    ----------
    facts : dict
        JSON-able.
    arrays : dict of str to array
        Arrays of numbers.
    blobs : dict of str to bytes
        Files by name, such as a booster as UBJSON.
    parts : dict of str to Fitted
        Models inside of this one.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    parts: Mapping[str, Fitted] = field(default_factory=dict)


class Model(ABC):
    """What to fit: parameters, with no data.

    Subclasses are frozen dataclasses of JSON-able fields and other models, listed in
    :data:`pyhpc.models.registry.KINDS`.
    """

    kind: ClassVar[str]
    """Key in :data:`pyhpc.models.registry.KINDS`."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Every column that is read from a table, without repetition."""

    @abstractmethod
    def fit(self, table: pa.Table, target: Target, compute: Compute) -> Fitted:
        """Fit to a table.

        Parameters
        ----------
        table : pyarrow.Table
            With the model's columns; more do no harm.
        target : Target
            Of the same rows.
        compute : Compute
            Seed, threads and device.

        Raises
        ------
        PyhpcError
            If a column is not there or holds no numbers, or there is no row.
        """

    @abstractmethod
    def restore(self, state: State) -> Fitted:
        """Make the fitted model again from what :meth:`Fitted.state` gave."""


class Fitted(ABC):
    """A model after its fit."""

    model: Model

    @abstractmethod
    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict each row of a table that has the model's columns, shape (n_rows,)."""

    @abstractmethod
    def state(self) -> State:
        """Give what the fit has found."""

    def explain(self, table: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Say how the prediction of each row came about, as columns of shape (n_rows,).

        Among them are, where they apply: ``gate`` (weight of the specialist, 0 to 1), ``baseline``
        and ``specialist`` (their predictions), ``spread`` (standard deviation over an ensemble, or
        learned), ``lower`` and ``upper`` (quantiles), ``member_<k>`` (predictions of an ensemble).
        """
        del table
        return {}

    @property
    def summary(self) -> dict[str, Any]:
        """What the fit did, for a report; JSON-able."""
        return {"kind": self.model.kind}

    def save(self, folder: Path | str) -> None:
        """Write the model into a new folder, without pickle: JSON, ``.npz`` and UBJSON.

        Raises
        ------
        PyhpcError
            If the folder holds something already.
        """
        from pyhpc.models.registry import to_spec

        home = Path(folder)
        if home.exists() and any(home.iterdir()):
            raise PyhpcError(f"the folder {home} is not empty", "Name a new one for the model.")
        home.mkdir(parents=True, exist_ok=True)
        state = self.state()
        for name, part in state.parts.items():
            part.save(home / name)
        for name, blob in state.blobs.items():
            (home / name).write_bytes(blob)
        if state.arrays:
            np.savez(home / _ARRAYS, **dict(state.arrays))  # type: ignore[arg-type]
        description = {
            "format": _FORMAT,
            "model": to_spec(self.model),
            "facts": dict(state.facts),
            "blobs": sorted(state.blobs),
            "parts": sorted(state.parts),
        }
        (home / _DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def load(folder: Path | str) -> Fitted:
    """Read a model that :meth:`Fitted.save` wrote.

    Raises
    ------
    PyhpcError
        If the folder holds no model, or one of a later format.
    """
    from pyhpc.models.registry import from_spec

    home = Path(folder)
    try:
        description = json.loads((home / _DESCRIPTION).read_text())
        if description["format"] != _FORMAT:
            raise PyhpcError(
                f"{home} holds a model of format {description['format']}",
                f"This version reads format {_FORMAT}: use the pyhpc that wrote it.",
            )
        arrays: dict[str, NDArray[np.generic]] = {}
        if (home / _ARRAYS).exists():
            with np.load(home / _ARRAYS, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        state = State(
            facts=description["facts"],
            arrays=arrays,
            blobs={name: (home / name).read_bytes() for name in description["blobs"]},
            parts={name: load(home / name) for name in description["parts"]},
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PyhpcError(
            f"{home} holds no readable model ({error})", "Name a folder that a model was saved to."
        ) from None
    return from_spec(description["model"]).restore(state)
