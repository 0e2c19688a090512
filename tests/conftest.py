"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyhpc import cli

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def shared_path(name: str) -> Path:
    """Path of a development data set, or a skip that says which one is missing."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"development data {name} is not at {SHARED_DATA}")
    return path


@pytest.fixture(scope="session")
def shared_data():
    """Give the function from a name to the path of a development data set."""
    return shared_path


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a seeded generator."""
    return np.random.default_rng(20261121)


@pytest.fixture
def pyhpc(monkeypatch, capsys):
    """Run a command and give its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return left.value.code, captured.out, captured.err

    return run
