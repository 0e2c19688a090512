"""The command ``pyhpc``: it parses, calls and prints."""

from pyhpc.cli.main import main

__all__ = ["main"]
