"""A SLURM cluster of its own on the loopback of this machine.

Every daemon runs in the foreground as a child of this process, so that what is stopped is exactly
what was started. Several nodes share the machine: SLURM tells them by name and port. Nothing of an
installed SLURM is used or touched, since all is selected by ``SLURM_CONF``.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

SEARCH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
"""Daemons are often not on the path of users."""

COMMANDS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")

SECONDS = 180.0
"""Deadline of whatever is waited for: far beyond what a busy machine needs."""


def missing_commands():
    """Commands that this machine lacks for a cluster."""
    return [name for name in COMMANDS if shutil.which(name, path=SEARCH) is None]


def wait_for(condition, what, *, seconds=SECONDS, every=0.05):
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {seconds:g} s")
        time.sleep(every)
    return result


def free_ports(count):
    """Ports of loopback that are free just now.

    They are none of those that the system gives to whoever connects or asks for any: while a daemon
    is being restarted, another's connection could take its port, or one that looks for the daemon
    could meet itself there.
    """
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    first = int(text.split()[0])
    ports = set()
    while len(ports) < count:
        port = 1024 + secrets.randbelow(first - 1024)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            ports.add(port)
    return sorted(ports)


class SlurmCluster:
    """A controller and some nodes, each with four cores and a made-up GPU.

    Parameters
    ----------
    nodes : int
        Number of nodes.
    cpus, memory : int
        Cores and MiB of a node; they may exceed what this machine has.
    max_array_size : int
        ``MaxArraySize``: array indices are below it.
    """

    def __init__(self, *, nodes=2, cpus=4, memory=6000, max_array_size=1001):
        self.root = Path(tempfile.mkdtemp(prefix="pyhpc-slurm-"))
        # munged insists that all may pass to its socket; its key is for its owner alone.
        self.root.chmod(0o755)
        # Names tell apart the cgroups of clusters that run side by side.
        self.nodes = [f"t{os.getpid()}n{k}" for k in range(1, nodes + 1)]
        self._cpus, self._memory = cpus, memory
        self._max_array_size = max_array_size
        self._ports = []
        self._processes = {}
        # A child is tied to the thread that starts it, and tests act in threads that end.
        self._starter = ThreadPoolExecutor(1)
        # Without cgroups SLURM loses track of processes that leave their session.
        self._cgroups = Path("/sys/fs/cgroup/freezer").is_dir() and os.geteuid() == 0
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        self.env = inherited | {
            "PATH": SEARCH,
            "SLURM_CONF": str(self.root / "etc/slurm.conf"),
            "MUNGE_SOCKET": str(self._munge_socket),
        }

    @property
    def _munge_socket(self):
        return self.root / "run/munge.socket"

    # Start and stop

    def start(self):
        """Start all daemons and wait until the nodes are idle."""
        for folder in ("etc", "run", "log", "state", *(f"spool/{name}" for name in self.nodes)):
            (self.root / folder).mkdir(parents=True)
        key = self.root / "etc/munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        self._start_munged()
        for attempt in range(5):
            # Another process may take a port between its choice and its use.
            self._ports = free_ports(1 + len(self.nodes))
            self._write_configuration()
            try:
                self._start_slurmctld("-i", "-c")
                break
            except RuntimeError:
                if attempt == 4:
                    raise
        for name in self.nodes:
            self.start_slurmd(name)
        self.wait_until_idle()
        return self

    def stop(self):
        """End all jobs and daemons."""
        if "slurmctld" in self._processes:
            with contextlib.suppress(RuntimeError, TimeoutError, subprocess.TimeoutExpired):
                self.cancel_all()
        for name in [*self.nodes, "slurmctld", "munged"]:
            self._end(name, signal.SIGTERM)
        self._end_orphans()
        self._starter.shutdown()
        self._remove_cgroups()
        shutil.rmtree(self.root, ignore_errors=True)

    def _end_orphans(self):
        """End the steps of a slurmd that was killed: they would wait for it for ever."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "slurmstepd" and Path(process.cwd()) == self.root:
                    process.kill()

    def _spawn(self, name, *command):
        self._starter.submit(self._spawn_here, name, *command).result()

    def _spawn_here(self, name, *command):
        # Should this process be killed, its daemons follow.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.root / f"log/{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [*tied, *command],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.root,
            )

    def _end(self, name, number):
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ready(self, name, condition):
        def check():
            if self._processes[name].poll() is not None:
                log = (self.root / f"log/{name}.out").read_text(errors="replace")
                raise RuntimeError(f"{name} ended with {self._processes[name].returncode}: {log}")
            return condition()

        wait_for(check, f"start of {name}")

    def _start_munged(self):
        run, log = self.root / "run", self.root / "log"
        self._spawn(
            "munged",
            *("munged", "-F", f"--key-file={self.root}/etc/munge.key"),
            *(f"--socket={self._munge_socket}", f"--pid-file={run}/munged.pid"),
            *(f"--log-file={log}/munged.log", f"--seed-file={run}/munge.seed", "--num-threads=2"),
        )
        ask = ["munge", "-S", str(self._munge_socket), "-n"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self.env}
        self._ready("munged", lambda: subprocess.run(ask, **quiet).returncode == 0)

    def _start_slurmctld(self, *options):
        self._spawn("slurmctld", "slurmctld", "-D", *options)

        def answers():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._ports[0]), 1).close()
                return True
            return False

        self._ready("slurmctld", answers)

    def start_slurmd(self, node):
        """Start the daemon of a node."""
        self._spawn(node, "slurmd", "-D", "-N", node)

    def _write_configuration(self):
        root, host, user = self.root, socket.gethostname().split(".")[0], getpass.getuser()
        track, task = ("cgroup", "cgroup") if self._cgroups else ("linuxproc", "none")
        nodes = "".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={self._cpus} RealMemory={self._memory} Gres=gpu:1 State=UNKNOWN\n"
            for name, port in zip(self.nodes, self._ports[1:], strict=True)
        )
        (root / "etc/slurm.conf").write_text(f"""\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={self._ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={self._munge_socket}
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd-%n.pid
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/{track}
TaskPlugin=task/{task}
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
# A node comes back when its daemon does, unless it was set down by hand.
ReturnToService=1
# Longer than a busy machine is silent; tests set nodes down themselves.
SlurmdTimeout=300
MinJobAge=600
KillWait=5
MaxArraySize={self._max_array_size}
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobRequeue=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
{nodes}\
PartitionName=main Nodes={",".join(self.nodes)} Default=YES State=UP DefMemPerCPU=500 \
MaxTime=INFINITE DefaultTime=10
""")
        (root / "etc/gres.conf").write_text(
            "".join(f"NodeName={name} Name=gpu Count=1 File=/dev/null\n" for name in self.nodes)
        )
        # Devices are not constrained: jobs without the made-up GPU would lose /dev/null.
        constraints = "ConstrainRAMSpace=yes\nAllowedSwapSpace=0\nConstrainDevices=no\n"
        (root / "etc/cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n"
            + (constraints if self._cgroups else "")
        )

    def _remove_cgroups(self):
        for tree in Path("/sys/fs/cgroup").glob("*"):
            for node in self.nodes:
                for folder, _, _ in os.walk(tree / f"slurm_{node}", topdown=False):
                    with contextlib.suppress(OSError):
                        Path(folder).rmdir()

    # What users do

    def run(self, *command, check=True, seconds=60, **options):
        """Run a command of SLURM and give what it prints."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=seconds,
            **options,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command} failed: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def submit(self, *arguments, **options):
        """Submit with sbatch, and give the job's id."""
        return self.run("sbatch", "--parsable", *arguments, **options).partition(";")[0]

    def jobs(self, *, name=None):
        """States of the jobs in the queue by id, those of arrays one by one."""
        chosen = ("--name", name) if name else ()
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T", *chosen).splitlines()
        return dict(line.split() for line in lines)

    def job(self, job):
        """Fields of a job, ended or not, as ``scontrol`` shows them."""
        text = self.run("scontrol", "show", "job", "-o", job).splitlines()[0]
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def wait_for_state(self, job, *states, seconds=SECONDS):
        """Wait until a job is in one of these states."""
        wait_for(
            lambda: self.job(job)["JobState"] in states, f"{states} of job {job}", seconds=seconds
        )

    def cancel_all(self):
        """Cancel all jobs and wait until they are gone."""
        mine = ("--user", getpass.getuser())
        self.run("scancel", "--full", *mine, check=False)
        # Who would take his time is helped.
        self.run("scancel", "--full", "--signal=KILL", *mine, check=False)
        wait_for(lambda: not self.jobs(), "end of all jobs")

    # What befalls clusters

    def requeue(self, job):
        """Requeue a job, and spare it the two minutes for which SLURM would hold it back."""
        self.run("scontrol", "requeue", job)
        self.start_now(job)

    def start_now(self, job):
        """Let a job that was requeued start as soon as there is room."""

        def released():
            state = self.job(job)["JobState"]
            if state == "PENDING":
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            return state in ("PENDING", "CONFIGURING", "RUNNING")

        wait_for(released, f"return of job {job} to the queue")

    def kill_slurmd(self, node):
        """Kill the daemon of a node. What it has started goes on."""
        self._end(node, signal.SIGKILL)

    def set_down(self, node):
        """Set a node down, as the controller does with one that is silent for long."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def restart_slurmctld(self, *, seconds_down=0.0):
        """End the controller and start it again with its state."""
        # Killed, it would forget the jobs of the last seconds.
        self._end("slurmctld", signal.SIGTERM)
        time.sleep(seconds_down)
        self._start_slurmctld()

    def heal(self):
        """Undo what a test has done to the cluster: no jobs, all nodes idle."""
        if "slurmctld" not in self._processes:
            self._start_slurmctld()
        self.cancel_all()
        for node in self.nodes:
            if node not in self._processes:
                self.start_slurmd(node)
        self.wait_until_idle()

    def wait_until_idle(self):
        """Wait until all nodes are up and idle."""

        def idle():
            states = self.run("sinfo", "-h", "-N", "-o", "%N %t").splitlines()
            for line in states:
                node, state = line.split()
                if state.startswith("down"):
                    self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
            return [line.split()[1] for line in states] == ["idle"] * len(self.nodes)

        wait_for(idle, "idle nodes")
