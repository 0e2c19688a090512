"""What is peculiar to a cluster: its partitions, its modules, its scratch."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyhpc.errors import PyhpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHIPPED = Path(__file__).parent / "sites"
"""Folder of the profiles that come with pyhpc; ``slurm/sites`` of the repository leads to it."""

EXPORTED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "MODULEPATH", "MODULESHOME", "LMOD_CMD"),
    *("SLURM_CONF", "SLURM_CLUSTERS", "MUNGE_SOCKET"),
)
"""Variables that travel from here into jobs. Others stay: among them may be secrets, or those of
an enclosing job, which would tell a job that it is another."""

RESERVED = ("array", "chdir", "dependency", "error", "export", "job-name", "output", "wrap")
"""Options of sbatch that are not for a site to set."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Profile of a cluster. What is not given is left to SLURM or to Dask's own configuration.

    Attributes
    ----------
    partition, account, qos : str, optional
        As sbatch takes them.
    walltime : str, optional
        Time limit of a job, in one of SLURM's formats, such as ``4:00:00`` or ``1-12``.
    cores : int, optional
        Cores of a job.
    memory : int, optional
        Memory of a job, in bytes; in a profile such as ``"16G"``.
    gpus : int
        GPUs of a job.
    modules : tuple of str
        To load.
    venv : str, optional
        Folder of a virtual environment to activate.
    conda : str, optional
        Name or folder of a conda environment to activate.
    prologue : tuple of str
        Further lines of shell before anything is run, as they are.
    python : str, optional
        Python to run, if not that of the environment, the image or this process.
    image : str, optional
        Apptainer image to run in.
    scratch : str, optional
        Node-local folder; ``$NAME`` stands for a variable on the node.
    interface : str, optional
        Network interface over which nodes talk, such as ``ib0``.
    directives : tuple of str
        Further options of sbatch, such as ``--constraint=cpu``.
    environment : tuple of str
        Further variables that travel into jobs.
    max_array_size : int, optional
        ``MaxArraySize``, if not what ``scontrol show config`` says.
    max_jobs : int, optional
        Most jobs of a user in the queue, each task of an array counted.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    walltime: str | None = None
    cores: int | None = None
    memory: int | None = None
    gpus: int = 0
    modules: tuple[str, ...] = ()
    venv: str | None = None
    conda: str | None = None
    prologue: tuple[str, ...] = ()
    python: str | None = None
    image: str | None = None
    scratch: str | None = None
    interface: str | None = None
    directives: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    max_array_size: int | None = None
    max_jobs: int | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else [value]:
                if one is not None and (complaint := check(one)):
                    raise PyhpcError(
                        f"{name} of the site can't be {one!r}: {complaint}",
                        "Correct the profile or the option.",
                    )

    @classmethod
    def load(cls, name: str | None) -> Self:
        """Read a profile.

        Parameters
        ----------
        name : str, optional
            Path of a TOML file, or name of one in the user's folder (``~/.config/pyhpc/sites``) or
            among those that come with pyhpc. Nothing is peculiar without.

        Raises
        ------
        PyhpcError
            If there is none, or a key or a value in it makes no sense.
        """
        if name is None:
            return cls()
        path = find_profile(name)
        try:
            found = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PyhpcError(f"site profile {path} can't be read: {error}", "Correct it.") from None
        valid = [field.name for field in fields(cls)]
        unknown = [key for key in found if key not in valid]
        if unknown:
            raise PyhpcError(
                f"unknown key {', '.join(map(repr, unknown))} in site profile {path}",
                f"Valid ones are {', '.join(valid)}.",
            )
        try:
            return cls(**{key: _value(key, value) for key, value in found.items()})
        except PyhpcError as error:
            raise PyhpcError(f"{path}: {error.message}", error.remedy) from None

    def override(self, **given: Any) -> Self:
        """Replace what is given, and not None."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    @property
    def options(self) -> tuple[str, ...]:
        """Options of sbatch that the profile asks for: ``--name=value``."""
        named = {"partition": self.partition, "account": self.account, "qos": self.qos}
        given = {**named, "time": self.walltime, "gres": f"gpu:{self.gpus}" if self.gpus else None}
        own = (f"--{name}={value}" for name, value in given.items() if value is not None)
        return (*own, *self.directives)

    @property
    def setup(self) -> tuple[str, ...]:
        """Lines of shell that make pyhpc available on a node."""
        lines = [f"module load {shlex.quote(module)}" for module in self.modules]
        if self.conda:
            lines += [
                'eval "$(conda shell.bash hook)"',
                f"conda activate {shlex.quote(self.conda)}",
            ]
        if self.venv:
            lines.append(f"source {expand_later(self.venv + '/bin/activate')}")
        return (*lines, *self.prologue)

    def python_command(self, binds: Iterable[Path] = ()) -> str:
        """Words of shell, quoted, that start Python on a node.

        Parameters
        ----------
        binds : iterable of Path
            Folders that an image must see.
        """
        own = self.venv or self.conda or self.image
        python = expand_later(self.python or ("python" if own else sys.executable))
        if not self.image:
            return python
        words = ["apptainer", "exec", *(["--nv"] if self.gpus else [])]
        for path in binds:
            if set(str(path)) & set(",:"):
                raise PyhpcError(
                    f"{path} can't be bound into an image", "Choose a folder without , and :."
                )
            words += ["--bind", shlex.quote(str(path))]
        return " ".join([*words, expand_later(self.image), python])

    def exported(self) -> dict[str, str]:
        """Environment to submit from: the variables that travel into jobs."""
        names = (*EXPORTED, *self.environment)
        own = {key: value for key, value in os.environ.items() if key.startswith("PYHPC_")}
        return own | {name: os.environ[name] for name in names if name in os.environ}


def find_profile(name: str) -> Path:
    """Path of a profile, by its path or name.

    Raises
    ------
    PyhpcError
        If there is none; says which there are.
    """
    if name.endswith(".toml") or "/" in name:
        return Path(name).expanduser()
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    folders = (Path(configuration) / "pyhpc" / "sites", SHIPPED)
    for folder in folders:
        if (folder / f"{name}.toml").exists():
            return folder / f"{name}.toml"
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    raise PyhpcError(
        f"there is no site profile {name!r}",
        f"Known are {', '.join(known)}; write your own as {folders[0]}/{name}.toml.",
    )


def expand_later(path: str) -> str:
    """Quote a path for the shell, but let the variables in it be those of the node."""
    pieces = re.split(r"(\$\w+|\$\{\w+\})", path)
    quoted = [f'"{p}"' if k % 2 else shlex.quote(p) for k, p in enumerate(pieces) if p]
    return "".join(quoted)


_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def walltime_seconds(text: str) -> int:
    """Seconds of a time limit in one of SLURM's formats.

    Raises
    ------
    ValueError
        If it is in none: minutes, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M``, ``D-H:M:S``.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time limit")
    days, *rest = match.groups()
    numbers = [int(number) for number in rest if number is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(numbers) < 3:
        minutes, seconds = [*numbers, 0][:2]
        return minutes * 60 + seconds
    hours, minutes, seconds = numbers
    return (hours * 60 + minutes) * 60 + seconds


def _value(key: str, value: Any) -> Any:
    """Value of a key as the profile has it, in its own type."""
    kind = {"memory": "bytes"}.get(key) or str(Site.__dataclass_fields__[key].type)
    if kind.startswith("tuple"):
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        said, value = "a list of strings", tuple(value) if fits else value
    elif kind.startswith("int"):
        said, fits = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    else:
        said, fits = "a string", isinstance(value, str)
        if fits and kind == "bytes":
            value = parse_bytes(value)
            said, fits = "a number of bytes, such as 16G", value is not None
    if not fits:
        raise PyhpcError(f"{key} must be {said}, not {value!r}", "Correct it.")
    return value


_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(text: str) -> int | None:
    """Bytes of a text such as ``500M`` or ``1.5GiB``; None where it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    return size if size > 0 else None


def _word(text: str) -> str | None:
    plain = re.fullmatch(r"[A-Za-z0-9_@.][A-Za-z0-9_@.,:+/=%-]*", text)
    return None if plain else "it is no plain word"


def _line(text: str) -> str | None:
    return None if text and text.isprintable() else "it must be one line of printable characters"


def _directive(text: str) -> str | None:
    name = text.removeprefix("--").partition("=")[0]
    if not re.fullmatch(r"--[a-z-]+(=.*)?", text) or _line(text):
        return "it must be --name or --name=value, on one line"
    return f"--{name} is set by pyhpc" if name in RESERVED else None


def _variable(text: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z_]\w*", text) else "it is no name of a variable"


def _time(text: str) -> str | None:
    try:
        return None if walltime_seconds(text) >= 60 else "SLURM's shortest is a minute"
    except ValueError:
        return "it must be like 30, 4:00:00 or 1-12:00:00"


def _positive(number: int) -> str | None:
    return None if number > 0 else "it must be positive"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(("partition", "account", "qos", "interface", "modules"), _word),
    **dict.fromkeys(("venv", "conda", "python", "image", "scratch", "prologue"), _line),
    **dict.fromkeys(("cores", "memory", "max_array_size", "max_jobs"), _positive),
    "gpus": lambda number: None if number >= 0 else "it must not be negative",
    "walltime": _time,
    "directives": _directive,
    "environment": _variable,
}
