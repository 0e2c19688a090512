"""Records for what could not be read, so that it is counted."""

from __future__ import annotations

from pyhpc.records import Outcome, Reason, Record


def refuse(
    name: str, source: str, code: str, message: str, *, kind: str = "cif", start: int = 0
) -> Record:
    """Give a record without text that says why."""
    reason = Reason(code, "source", Outcome.QUARANTINED, " ".join(message.split())[:300])
    return Record(name, b"", kind, source, start, start, reason)


def refuse_error(name: str, source: str, error: BaseException, *, kind: str = "cif") -> Record:
    """Give a record for a file, member or row that raised."""
    message = f"{type(error).__name__}: {error}"
    return refuse(name, source, "unreadable", message, kind=kind)


def printable(name: str) -> str:
    """Name without what can't be written as UTF-8 or breaks a line."""
    if name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
