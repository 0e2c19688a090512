"""CIF text that the tests write for themselves."""

from __future__ import annotations

from pyhpc.crystals import read_records
from pyhpc.records import Record

NACL_SITES = ("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")


def cif(
    sites=NACL_SITES,
    *,
    columns=COLUMNS,
    cell=(5.64, 5.64, 5.64, 90, 90, 90),
    operators=("x,y,z",),
    header="",
    footer="",
    name="NaCl",
):
    """Text of one block. ``header`` and ``footer`` are further items, as they stand in the file."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{name}", header]
    lines += [f"_cell_{tag} {x}" for tag, x in zip(names, cell, strict=True) if x is not None]
    if operators:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{o}'" for o in operators)]
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns), *sites, footer]
    return "\n".join(line for line in lines if line) + "\n"


def record(text, *, name="x", kind="cif"):
    """Record of a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return Record(name, data, kind, "memory", 0, len(data))


def read_one(text, limits=None, *, kind="cif"):
    """Batch of a text (empty if it is quarantined) and its reasons by code."""
    options = () if limits is None else (limits,)
    result = read_records([record(text, kind=kind)], *options)
    reasons = result.reasons.get(0, [])
    return result.batch, {reason.code: reason for reason in reasons}
