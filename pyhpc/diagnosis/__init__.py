"""What is wrong with a set of predictions, in plain sentences, and what to try."""

from pyhpc.diagnosis.check import Check, Verdict
from pyhpc.diagnosis.diagnose import Diagnosis, diagnose

__all__ = ["Check", "Diagnosis", "Verdict", "diagnose"]
