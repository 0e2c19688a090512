"""The cluster that the tests of this folder run on."""

from __future__ import annotations

import os
import signal

import pytest

from tests.slurm.cluster import SlurmCluster, missing_commands

TEST_SECONDS = 400
"""No test may take longer than this, whatever it waits for."""


def pytest_collection_modifyitems(items):
    """Give tests on the cluster further chances, which the report shows.

    Its daemons answer in seconds or not at all on a machine with far more to do than cores; what
    fails three times is a failure.
    """
    for item in items:
        if item.get_closest_marker("slurm"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(autouse=True)
def _deadline():
    """End a test that hangs; what it waits for is interrupted."""

    def give_up(number, frame):
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Gate:
    """Holds up records that say ``gate``, in whatever process, until it is opened."""

    def __init__(self, path):
        self.path = path

    def open(self):
        """Let all pass, for good."""
        self.path.touch()


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """Give a gate that is closed. Jobs learn of it through their environment."""
    gate = Gate(tmp_path / "gate")
    monkeypatch.setenv("PYHPC_TEST_GATE", str(gate.path))
    yield gate
    gate.open()


@pytest.fixture(scope="session")
def slurm_cluster():
    """Give a cluster, one per process of the tests; skip where SLURM is not installed."""
    missing = missing_commands()
    if missing:
        reason = (
            f"SLURM is not installed: no {', '.join(missing)} "
            "(apt-get install munge slurm-client slurmctld slurmd)"
        )
        if os.environ.get("PYHPC_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    cluster = SlurmCluster()
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def slurm(slurm_cluster):
    """Give the cluster without jobs, and leave it so."""
    yield slurm_cluster
    slurm_cluster.heal()
