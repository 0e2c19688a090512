"""Errors that are for the user to mend."""

from __future__ import annotations


class PyhpcError(Exception):
    """Something that the user can mend, said in one line, with what to do.

    Parameters
    ----------
    message : str
        What is wrong, with the names and numbers.
    remedy : str
        What to do about it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        # Both go to ``args``, so that the error keeps its parts on the way from a worker process.
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"
