"""A task without chemistry: what a record's text says is what happens.

Of the words of a text, ``degraded`` and ``bad`` end the record so, ``raise`` raises, ``crash``,
``abort``, ``hang``, ``sleep`` and ``hog`` kill the process, ``sleep:S`` takes S seconds, ``gate``
waits for the file that the environment variable ``PYHPC_TEST_GATE`` names, ``thread`` has the
ledger say where it was treated; others do nothing.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pyhpc.records import Outcome, Reason, Record
from pyhpc.shards import TaskResult


@dataclass(frozen=True)
class FakeTask:
    mobile_ion: str = "Li"
    version: str = "1"
    name: str = "featurize"

    @property
    def parameters(self):
        return {"mobile_ion": self.mobile_ion}

    @property
    def versions(self):
        return {"fake": self.version}

    @property
    def schema(self):
        return pa.schema(
            [("id", pa.string()), ("length", pa.float64()), ("noise", pa.float64())],
            metadata={"catalogue": "fake"},
        )

    @classmethod
    def from_parameters(cls, parameters):
        return cls(**parameters)

    def run(self, records, *, threads=1):
        started = time.perf_counter()
        rows, positions, reasons = [], [], {}
        for k, one in enumerate(records):
            words = one.text.decode().split()
            for word in words:
                _obey(word)
            if "bad" in words:
                reasons[k] = [Reason("bad_text", "parse", Outcome.QUARANTINED, "it says bad")]
                continue
            length = float(len(one.text))
            if "degraded" in words:
                reasons[k] = [Reason("no_length", "measure", Outcome.DEGRADED, "it says so")]
                length = float("nan")
            if "thread" in words:
                where = f"process {os.getpid()}, thread {threading.get_native_id()}"
                reasons[k] = [Reason("treated_in", "measure", Outcome.OK, where)]
            noise = int.from_bytes(hashlib.sha256(one.text).digest()[:6], "big") / 2**48
            rows.append({"id": one.id, "length": length, "noise": noise})
            positions.append(k)
        return TaskResult(
            pa.Table.from_pylist(rows, schema=self.schema),
            positions,
            reasons,
            {"measure": time.perf_counter() - started},
        )


def _obey(word):
    if word.startswith("sleep:"):
        time.sleep(float(word.removeprefix("sleep:")))
    elif word == "raise":
        raise ValueError(f"told to raise at {object()}")
    elif word == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "abort":
        # As Rust does when it gets no memory.
        os.write(2, b"memory allocation of 1048576 bytes failed\n")
        os.abort()
    elif word == "hang":
        while True:
            pass
    elif word == "sleep":
        time.sleep(1e6)
    elif word == "gate":
        _wait_at_gate()
    elif word == "hog":
        hoard = []
        while True:
            hoard.append(b"x" * 2**26)


def _wait_at_gate():
    deadline = time.monotonic() + 240
    while not Path(os.environ["PYHPC_TEST_GATE"]).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody opens the gate")
        time.sleep(0.02)


def record(name, text, **fields):
    data = text.encode()
    return Record(
        **{"id": name, "text": data, "format": "cif", "source": f"folder/{name}.cif"}
        | {"start": 0, "stop": len(data)}
        | fields
    )


def plain_records(count, *, words=""):
    """Records, of which some are degraded and some quarantined."""
    kinds = {7: "degraded", 11: "bad"}
    return [record(f"r{k:05d}", f"text {k} {kinds.get(k % 13, '')} {words}") for k in range(count)]
