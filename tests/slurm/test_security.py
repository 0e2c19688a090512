"""Nobody without the key of a run reaches it, and nothing of the key is to be found."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import psutil
import pytest
from distributed import Security
from distributed.comm import connect

from pyhpc.errors import PyhpcError
from pyhpc.executors import Site
from pyhpc.executors.credentials import temporary_credentials
from pyhpc.executors.run import Tally
from pyhpc.executors.slurm import SlurmExecutor, _Workers, lifetimes
from pyhpc.shards import finish
from tests.fake_task import plain_records
from tests.shard_jobs import make_job
from tests.slurm.cluster import wait_for

ROOT = Path(__file__).parents[2]
SITE = Site(interface="lo", memory=2**30, walltime="10")


@pytest.fixture
def on_cluster(slurm, monkeypatch):
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
    return slurm


def listening(processes):
    """Addresses on which processes listen, by port."""
    return {
        connection.laddr.port: connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.slurm
def test_run_is_closed_to_others(tmp_path, on_cluster):
    job = make_job(tmp_path, plain_records(40))
    workers = _Workers(SITE, job, 1, 1, 1)
    with workers.open(lambda name, outcomes: None) as pool:
        client = pool.client
        workers.tend(Tally(job).status())
        wait_for(client.nthreads, "a worker")
        scheduler = client.scheduler.address
        addresses = [scheduler, *client.nthreads()]
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
        for address in addresses:
            assert not answers(address.replace("tls://", "tcp://"), None)
            assert not answers(address, Security.temporary())
        assert answers(scheduler, client.security)

        (number,) = on_cluster.jobs()
        script = on_cluster.run("scontrol", "write", "batch_script", number, "-")
        (keys,) = job.output.attempts.glob("keys-*")
        secret = (keys / "key.pem").read_text()
        assert "PRIVATE KEY" in secret
        assert not any(line in script for line in secret.splitlines())
        assert "very-secret" not in script
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}

        ours = [process for process in psutil.process_iter() if belongs(process, scheduler)]
        assert len(ours) >= 2, "the process that starts the worker, and the worker"
        assert set(listening([psutil.Process(), *ours]).values()) == {"127.0.0.1"}
        for process in ours:
            environment = process.environ()
            assert "AWS_SECRET_ACCESS_KEY" not in environment
            assert "SLURM_ARRAY_TASK_ID" not in environment
    assert not keys.exists()
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".pem")]


def answers(address, security):
    """Whether a Dask server at this address talks to a client with these credentials."""

    async def ask():
        arguments = security.get_connection_args("client") if security else {}
        try:
            connection = await asyncio.wait_for(connect(address, timeout=2, **arguments), 5)
        except (TimeoutError, OSError, RuntimeError):
            return False
        try:
            await connection.write({"op": "identity", "reply": True})
            reply = await asyncio.wait_for(connection.read(), 5)
        except (TimeoutError, OSError):
            return False
        finally:
            connection.abort()
        return reply["type"] == "Scheduler"

    return asyncio.run(ask())


def belongs(process, scheduler):
    """Whether a process is one of a job of this run, or a child of such a one."""
    try:
        words = [word for one in (process, *process.parents()) for word in one.cmdline()]
    except psutil.Error:
        return False
    return scheduler in words


@pytest.mark.slurm
def test_shell_reads_nothing_in_paths(tmp_path, on_cluster):
    """What a shell would run is only a name here."""
    hostile = tmp_path / "a b'c\"d;touch pwned`touch pwned`$(touch pwned)%j&e"
    hostile.mkdir()
    job = make_job(hostile, plain_records(40))
    status = SlurmExecutor(SITE.override(scratch=str(hostile / "scratch")), 1).submit(job).wait()
    assert status.complete
    finish(job.output, job.plan)
    assert list((job.output.attempts / "jobs").glob("*.log"))
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


def test_keys_are_not_put_where_others_can_read(tmp_path, monkeypatch):
    folder = tmp_path / "keys"
    monkeypatch.setattr(Path, "mkdir", lambda path, mode: Path.touch(path, 0o644))
    with pytest.raises(PyhpcError, match="others may read"), temporary_credentials(folder):
        pass


@pytest.mark.parametrize("walltime", [60, 1800, 14400, 86400])
def test_workers_leave_in_time(walltime):
    lifetime, stagger = lifetimes(walltime)
    assert 0 < lifetime - stagger < lifetime + stagger < walltime
    assert lifetime >= walltime / 2
