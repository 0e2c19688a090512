"""Checking that every missing value has a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pyhpc.features.findings import stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from pyhpc.records import Reason


def unexplained(table: pa.Table, reasons: Mapping[str, Iterable[Reason]]) -> list[tuple[str, str]]:
    """List the missing values of a table of features that no reason explains.

    A reason of stage ``features.<group>`` explains the missing values of that group.

    Parameters
    ----------
    table : pyarrow.Table
        With the metadata of :func:`pyhpc.features.schema`; columns without a group are not looked
        at.
    reasons : mapping of str to iterable of Reason
        What the ledger says, by ``id``.

    Returns
    -------
    list of (str, str)
        Id and column of each value that is NaN or null without a reason.
    """
    ids = table["id"].to_pylist()
    stages = [{reason.stage for reason in reasons.get(name, ())} for name in ids]
    silent: dict[str, NDArray[np.bool_]] = {}
    found: list[tuple[str, str]] = []
    for field in table.schema:
        group = (field.metadata or {}).get(b"group", b"").decode()
        if not group:
            continue
        if group not in silent:
            wanted = stage(group)
            silent[group] = np.array([wanted not in said for said in stages], dtype=np.bool_)
        missing = pc.is_null(table[field.name], nan_is_null=True).to_numpy()
        found += [(ids[row], field.name) for row in np.flatnonzero(missing & silent[group])]
    return found
