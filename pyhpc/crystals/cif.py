"""From the text of a CIF block to the columns that the expansion needs, by gemmi.

Plain files don't come here: ``_kernels.expand_cells`` reads them itself, to the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from gemmi import cif

from pyhpc._kernels import CIF_COORDINATES, CIF_OPERATORS, CIF_VALUES
from pyhpc.crystals.space_groups import find_setting
from pyhpc.records import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhpc.crystals.limits import Limits

_HALL = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_HERMANN_MAUGUIN = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_full",
)
_NUMBER = ("_space_group_IT_number", "_symmetry_Int_Tables_number")


class Columns(NamedTuple):
    """Raw values of one block, as ``_kernels.expand_cells`` takes them from its `parse`."""

    values: list[str]
    operators: Sequence[str]
    site_tags: list[str]
    site_values: list[str]
    type_symbols: list[str]
    type_charges: list[str]


class _RefusedError(Exception):
    """Ends the reading of a block with a reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code, "parse", Outcome.QUARANTINED, message)


def read_columns(text: bytes, limits: Limits) -> tuple[Columns | None, list[Reason]]:
    """Read what the expansion needs from the text of one CIF block.

    Parameters
    ----------
    text : bytes
        The block, in UTF-8, else taken as Latin-1.
    limits : Limits
        Bound on the rows of loops.

    Returns
    -------
    columns : Columns or None
        None if the block has no crystal; then the last reason says why.
    reasons : list of Reason
        Findings.
    """
    reasons: list[Reason] = []
    try:
        block = _pick_block(_parse(text, reasons), reasons)
        site_tags, site_values = _sites(block, limits)
        values = [block.find_value(tag) or "" for tag in CIF_VALUES]
        return Columns(
            values=values,
            operators=_operators(block, values[5], limits, reasons),
            site_tags=site_tags,
            site_values=site_values,
            type_symbols=(symbols := _column(block, "_atom_type_symbol", limits)),
            type_charges=_column(block, "_atom_type_oxidation_number", limits) if symbols else [],
        ), reasons
    except _RefusedError as refused:
        reasons.append(refused.reason)
        return None, reasons


def _parse(text: bytes, reasons: list[Reason]) -> cif.Document:
    content: bytes | str = text.removeprefix(b"\xef\xbb\xbf")
    if not text.isascii():
        try:
            content = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            content = text.decode("latin-1")
    try:
        return cif.read_string(content)
    except ValueError as error:
        raise _RefusedError("syntax_error", _one_line(error)) from error
    except RuntimeError as error:
        # Well-formed, but with a tag that comes twice or has no value.
        reason = Reason("duplicate_tag", "parse", Outcome.DEGRADED, _one_line(error))
        reasons.append(reason)
    try:
        return cif.read_string(content, check_level=0)
    except (ValueError, RuntimeError) as error:
        raise _RefusedError("syntax_error", _one_line(error)) from error


def _one_line(error: Exception) -> str:
    """Give gemmi's message without the name of its buffer."""
    return " ".join(str(error).split()).removeprefix("string:")[:200]


def _pick_block(document: cif.Document, reasons: list[Reason]) -> cif.Block:
    if len(document) == 1:
        return document[0]
    structures = [b for b in document if any(len(b.find_values(tag)) for tag in CIF_COORDINATES)]
    if not structures:
        raise _RefusedError("no_structure", f"none of {len(document)} blocks has coordinates")
    if len(structures) > 1:
        message = (
            f"{len(structures)} blocks with a structure in one record, only the first, "
            f"{structures[0].name!r}, was read; write each block header on a line of its own"
        )
        reasons.append(Reason("several_blocks", "parse", Outcome.DEGRADED, message))
    return structures[0]


def _sites(block: cif.Block, limits: Limits) -> tuple[list[str], list[str]]:
    """Tags and values, row after row, of the loop that holds the coordinates."""
    for tag in CIF_COORDINATES:
        if block.find_pair(tag) is not None:
            # A single atom may be written without a loop.
            pairs = [cast("list[str]", item.pair) for item in block if item.pair is not None]
            sites = [pair for pair in pairs if pair[0].lower().startswith("_atom_site_")]
            return [pair[0] for pair in sites], [pair[1] for pair in sites]
        column = block.find_loop(tag)
        if len(column) > 0:
            _check_rows(tag, len(column), limits)
            loop = column.get_loop()
            return loop.tags, loop.values
    raise _RefusedError("no_structure", "the block has no atomic coordinates")


def _column(block: cif.Block, tag: str, limits: Limits) -> list[str]:
    """Values of a loop column or of a single item; empty where the tag is not there."""
    column = block.find_values(tag)
    _check_rows(tag, len(column), limits)
    if len(column) < 8:
        return list(column)
    # Taking the loop at once is faster than going through a long column.
    loop = column.get_loop()
    tags = [name.lower() for name in loop.tags]
    return loop.values[tags.index(tag.lower()) :: len(tags)]


def _check_rows(tag: str, rows: int, limits: Limits) -> None:
    if rows > limits.max_loop_rows:
        message = f"the loop of {tag} has {rows} rows, more than {limits.max_loop_rows}"
        raise _RefusedError("too_many_rows", message)


def _operators(
    block: cif.Block, gamma: str, limits: Limits, reasons: list[Reason]
) -> Sequence[str]:
    """Operators that the block lists, else those of the space group that it names."""
    for tag in CIF_OPERATORS:
        operators = _column(block, tag, limits)
        if operators and not cif.is_null(operators[0]):
            return operators
    number = cif.as_number(_first(block, _NUMBER))
    setting = find_setting(
        _first(block, _HALL),
        _first(block, _HERMANN_MAUGUIN),
        int(number) if 1 <= number <= 230 else 0,
        hexagonal=abs(cif.as_number(gamma) - 120.0) < 0.5,
    )
    if not setting.operators:
        message = f"{setting.doubt or 'no operators and no space group'}; P 1 assumed"
        reasons.append(Reason("symmetry_missing", "parse", Outcome.DEGRADED, message))
    elif setting.doubt:
        reasons.append(Reason("setting_assumed", "parse", Outcome.DEGRADED, setting.doubt))
    return setting.operators


def _first(block: cif.Block, tags: Sequence[str]) -> str:
    """First of the values that is given, without quotes."""
    for tag in tags:
        value = block.find_value(tag)
        if value and not cif.is_null(value):
            return " ".join(cif.as_string(value).split())
    return ""
