"""The cluster that the tests of this folder run on."""

from __future__ import annotations

import os

import pytest

from tests.slurm.cluster import SlurmCluster, missing_commands


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
