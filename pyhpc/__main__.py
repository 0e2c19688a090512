"""``python -m pyhpc``: the command line."""

from pyhpc.cli import main

main()
