"""Packages of the extra ``ml``, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyhpc.errors import PyhpcError


def need(module: str) -> Any:
    """Import a module of the extra ``ml``.

    Parameters
    ----------
    module : str
        Full name, such as ``"sklearn.ensemble"``.

    Raises
    ------
    PyhpcError
        If its package is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0].replace("sklearn", "scikit-learn")
        remedy = "Install it with: pip install 'pyhpc-crystals[ml]'."
        raise PyhpcError(f"models need {package}, which is not installed", remedy) from None
