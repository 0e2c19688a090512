"""Figures from tables of features."""
