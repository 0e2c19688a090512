"""Measurements: speed as ratios against peers in one run, parity, coverage."""
