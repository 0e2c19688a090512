"""Batch scripts as text, and what sbatch is asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyhpc.errors import PyhpcError


@dataclass(frozen=True, kw_only=True)
class BatchScript:
    """A batch script.

    Attributes
    ----------
    comment : tuple of str
        Lines that say what it is.
    directives : tuple of str
        Options of sbatch, ``--name=value``.
    prologue : tuple of str
        Lines of shell that make pyhpc available; they are the site's own and go in as they are.
    python : str
        Words of shell that start Python; the site's own, too.
    command : tuple of str
        What Python runs in place of the shell, quoted; ``$1`` and ``$2`` are arguments of the
        script.
    """

    comment: tuple[str, ...]
    directives: tuple[str, ...]
    prologue: tuple[str, ...]
    python: str
    command: tuple[str, ...]

    def render(self) -> str:
        """Write it down.

        Raises
        ------
        PyhpcError
            If an option can't be written on one line.
        """
        lines = ["#!/bin/bash", *(f"# {line}".rstrip() for line in self.comment)]
        lines += [f"#SBATCH {directive(option)}" for option in self.directives]
        lines += ["", "set -eo pipefail", *self.prologue]
        # In place of the shell: signals sent to the batch shell reach pyhpc, and nothing waits.
        lines += [" ".join(["exec", self.python, *map(_word, self.command)]), ""]
        return "\n".join(lines)


ARGUMENTS = ("$1", "$2")
"""Words of a command that stand for arguments of the script."""


def _word(word: str) -> str:
    return f'"{word}"' if word in ARGUMENTS else shlex.quote(word)


def directive(option: str) -> str:
    """Quote an option for a line of ``#SBATCH``, which sbatch splits into words by itself.

    Raises
    ------
    PyhpcError
        If it holds a line break or another control character.
    """
    name, equals, value = option.partition("=")
    if not option.isprintable():
        raise PyhpcError(
            f"{name} can't be {value!r}: an option of sbatch stands on one line",
            "Take line breaks and control characters out of it.",
        )
    if all(letter.isalnum() or letter in "-_./,:%@+=*" for letter in value):
        return option
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}{equals}"{escaped}"'


def file_pattern(path: str) -> str:
    """Path for ``--output``, in which sbatch takes ``%`` for a pattern of its own."""
    return path.replace("%", "%%")
