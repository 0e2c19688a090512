"""Tables of a job file, read key by key, so that every error names the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_REQUIRED: Any = object()

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


class Keys:
    """One table of a job file.

    Parameters
    ----------
    values : mapping
        The table as it was read.
    where : str
        Its name in the file, empty for the whole file.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._values = values
        self._where = where
        self._known: list[str] = []

    def name(self, key: str) -> str:
        """Full name of a key."""
        return f"{self._where}.{key}" if self._where else key

    def take(self, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
        """Read a key of one type; without a default it must be there.

        Raises
        ------
        PyhpcError
            If it is missing or of another type.
        """
        self._known.append(key)
        if key not in self._values:
            if default is _REQUIRED:
                raise PyhpcError(
                    f"the key {self.name(key)} is missing", f"Expected {_WORDS[kind]}."
                )
            found: T = default
            return found
        return checked(self._values[key], kind, self.name(key))

    def choose(self, key: str, allowed: Sequence[str], default: Any = _REQUIRED) -> str:
        """Read a key that has one of some values."""
        value = self.take(key, str, default)
        if value not in allowed:
            raise PyhpcError(
                f"{self.name(key)} = {value!r} is not allowed", f"Allowed: {', '.join(allowed)}."
            )
        return value

    def texts(self, key: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        """Read a list of texts."""
        items = self.take(key, list, default)
        return tuple(checked(x, str, f"{self.name(key)}[{k}]") for k, x in enumerate(items))

    def numbers(self, key: str, default: Any = _REQUIRED) -> tuple[int, ...]:
        """Read a list of whole numbers."""
        items = self.take(key, list, default)
        return tuple(checked(x, int, f"{self.name(key)}[{k}]") for k, x in enumerate(items))

    def model(self, key: str) -> dict[str, Any] | str:
        """Read a model: a table, or the name of one."""
        value = self._values.get(key)
        return self.take(key, str) if isinstance(value, str) else self.take(key, dict)

    def close(self) -> None:
        """Refuse keys that were not asked for.

        Raises
        ------
        PyhpcError
            Naming the first, and all that are allowed.
        """
        for key in self._values:
            if key not in self._known:
                raise PyhpcError(
                    f"unknown key {self.name(key)}", f"Allowed: {', '.join(self._known)}."
                )


def checked(value: Any, kind: type[T], where: str) -> T:
    """Refuse a value of another type; a whole number passes for a number."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise PyhpcError(f"{where} = {value!r} is not allowed", f"Expected {_WORDS[kind]}.")
    return value
