"""Featurization as a task that runs over shards."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import pyhpc
from pyhpc import tables
from pyhpc.crystals import Limits, read_records
from pyhpc.errors import PyhpcError
from pyhpc.features.featurize import Settings, featurize_with_reasons
from pyhpc.reasons import Reasons
from pyhpc.shards.task import TaskResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from pyhpc.records import Record


@dataclass(frozen=True)
class FeaturizeTask:
    """Read records and compute the features of their crystals.

    Parameters
    ----------
    settings : Settings
        Groups, mobile ion and accuracies.
    limits : Limits
        How much a record may ask for.
    """

    settings: Settings = field(default_factory=Settings)
    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        """Key of the task."""
        return "featurize"

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the features depend on beside the records and the versions.

        ``groups``, ``mobile_ion``, ``symprec`` and ``accuracy`` of
        :class:`~pyhpc.features.Settings`, and ``limits``, a dict of those of
        :class:`~pyhpc.crystals.Limits`.
        """
        settings = asdict(self.settings)
        return settings | {"groups": list(settings["groups"]), "limits": asdict(self.limits)}

    @property
    def versions(self) -> dict[str, str]:
        """Version of pyhpc, and the hash of each table of facts."""
        hashes = {f"table {name}": digest for name, digest in tables.hashes().items()}
        return {"pyhpc": pyhpc.__version__} | hashes

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table of features, with units, groups, meanings and sources."""
        return self.settings.schema

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Make the task from parameters; those left out have their defaults.

        Raises
        ------
        PyhpcError
            If a parameter is unknown or makes no sense.
        """
        valid = [*(f.name for f in fields(Settings)), "limits"]
        _check_names("parameter", parameters, valid)
        limits = parameters.get("limits", {})
        _check_names("limit", limits, [f.name for f in fields(Limits)])
        settings = {name: value for name, value in parameters.items() if name != "limits"}
        try:
            return cls(Settings(**settings), Limits(**limits))
        except (TypeError, ValueError) as error:
            raise PyhpcError(str(error), "Correct the parameters of the run.") from error

    def run(self, records: Sequence[Record], *, threads: int = 1) -> TaskResult:
        """Read the records and compute the features of those that are crystals.

        Parameters
        ----------
        records : sequence of Record
            Records to treat.
        threads : int, default 1
            Number of threads of the kernels.

        Returns
        -------
        TaskResult
            Rows in the order of the records; reasons by position in ``records``.
        """
        start = time.perf_counter()
        read = read_records(records, self.limits, threads=threads)
        parse = time.perf_counter() - start
        made = featurize_with_reasons(read.batch, self.settings, threads=threads)
        reasons = Reasons.join([Reasons.of(read.reasons), made.reasons.at(read.positions)])
        return TaskResult(made.table, read.positions, reasons, {"parse": parse} | made.seconds)


def _check_names(kind: str, found: Any, valid: list[str]) -> None:
    """Refuse names that nobody knows, and list those that are known."""
    remedy = f"Valid ones are {', '.join(valid)}."
    if not isinstance(found, dict):
        raise PyhpcError(f"{kind}s are names with values, not {found!r}", remedy)
    unknown = [name for name in found if name not in valid]
    if unknown:
        raise PyhpcError(
            f"unknown {kind} {', '.join(map(repr, unknown))} of the task featurize",
            remedy,
        )
