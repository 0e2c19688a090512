//! `expand_cells`: texts of CIF blocks to the arrays of a `CrystalBatch`.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyhpc_core::expand::{Block, Cell, Limits, expand_all, read_all_plain};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyDict;

use crate::arrays::rows;
use crate::pool;

/// What Python takes from a block that is not plain: raw values as they stand in the file.
#[derive(FromPyObject)]
pub struct Columns {
    /// Six cell parameters, volume, Z, formula.
    #[pyo3(item(0))]
    values: [PyBackedStr; 9],
    #[pyo3(item(1))]
    operators: Vec<PyBackedStr>,
    #[pyo3(item(2))]
    site_tags: Vec<PyBackedStr>,
    #[pyo3(item(3))]
    site_values: Vec<PyBackedStr>,
    #[pyo3(item(4))]
    type_symbols: Vec<PyBackedStr>,
    #[pyo3(item(5))]
    type_charges: Vec<PyBackedStr>,
}

/// `Limits` of `pyhpc.crystals`, taken by attribute.
#[derive(FromPyObject)]
pub struct LimitValues {
    max_loop_rows: usize,
    max_sites: usize,
    min_cell_edge: f64,
    max_cell_edge: f64,
}

impl Columns {
    fn view(&self) -> Block<'_> {
        let [a, b, c, alpha, beta, gamma, volume, formula_units, formula] =
            self.values.each_ref().map(|value| &**value);
        Block {
            cell: [a, b, c, alpha, beta, gamma],
            volume,
            formula_units,
            formula,
            operators: views(&self.operators),
            site_tags: views(&self.site_tags),
            site_values: views(&self.site_values),
            type_symbols: views(&self.type_symbols),
            type_charges: views(&self.type_charges),
        }
    }
}

fn views(values: &[PyBackedStr]) -> Vec<&str> {
    values.iter().map(|value| &**value).collect()
}

/// Texts that stand in `data` one after another.
fn cut<'a>(data: &'a [u8], offsets: &[i64]) -> PyResult<Vec<&'a [u8]>> {
    offsets
        .windows(2)
        .map(|ends| {
            let start = usize::try_from(ends[0]).ok()?;
            data.get(start..usize::try_from(ends[1]).ok()?)
        })
        .collect::<Option<_>>()
        .ok_or_else(|| PyValueError::new_err("offsets lead out of the data"))
}

/// Returns the arrays of the crystals that could be made, `positions` of their texts, and
/// `findings`: tuples (text, code, stage, fatal, message).
///
/// Text `k` stands in `data` from `offsets[k]` to `offsets[k + 1]`. Those that are not plain are
/// parsed by `parse(number of the text)`, which gives `Columns` or None.
#[pyfunction]
pub fn expand_cells<'py>(
    py: Python<'py>,
    data: PyReadonlyArray1<'py, u8>,
    offsets: PyReadonlyArray1<'py, i64>,
    parse: &Bound<'py, PyAny>,
    limits: LimitValues,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let texts = cut(data.as_slice()?, offsets.as_slice()?)?;
    let max_rows = limits.max_loop_rows;
    let limits = Limits {
        max_sites: limits.max_sites,
        min_cell_edge: limits.min_cell_edge,
        max_cell_edge: limits.max_cell_edge,
    };
    let mut blocks = pool::run(py, threads, || read_all_plain(&texts, max_rows))?;
    let mut parsed: Vec<(usize, Columns)> = Vec::new();
    for (k, _) in blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.is_none())
    {
        let columns: Option<Columns> = parse.call1((k,))?.extract()?;
        parsed.extend(columns.map(|columns| (k, columns)));
    }
    for (k, columns) in &parsed {
        blocks[*k] = Some(columns.view());
    }
    let results = pool::run(py, threads, || expand_all(&blocks, &limits))?;
    let mut lattices = Vec::new();
    let mut positions: Vec<i64> = Vec::new();
    let mut site_offsets = vec![0i64];
    let mut species_offsets = vec![0i64];
    let mut sites = Cell::default();
    let mut findings = Vec::new();
    for (k, result) in results.into_iter().enumerate() {
        findings.extend(result.findings.iter().map(|finding| {
            (
                k,
                finding.code(),
                finding.stage(),
                finding.is_fatal(),
                finding.to_string(),
            )
        }));
        let Some(cell) = result.cell else { continue };
        positions.push(k as i64);
        lattices.push(cell.lattice);
        let first = sites.atomic_numbers.len() as i64;
        species_offsets.extend(cell.species_offsets.iter().skip(1).map(|end| first + end));
        sites.frac_coords.extend(cell.frac_coords);
        sites.asymmetric_index.extend(cell.asymmetric_index);
        sites.atomic_numbers.extend(cell.atomic_numbers);
        sites.occupancies.extend(cell.occupancies);
        sites.oxidation_states.extend(cell.oxidation_states);
        site_offsets.push(sites.frac_coords.len() as i64);
    }
    let n_crystals = lattices.len();
    let lattices = PyArray1::from_vec(py, lattices.into_flattened().into_flattened());
    let result = PyDict::new(py);
    result.set_item("positions", PyArray1::from_vec(py, positions))?;
    result.set_item("lattices", lattices.reshape([n_crystals, 3, 3])?)?;
    result.set_item("site_offsets", PyArray1::from_vec(py, site_offsets))?;
    result.set_item("frac_coords", rows(py, sites.frac_coords)?)?;
    result.set_item(
        "asymmetric_index",
        PyArray1::from_vec(py, sites.asymmetric_index),
    )?;
    result.set_item("species_offsets", PyArray1::from_vec(py, species_offsets))?;
    result.set_item(
        "atomic_numbers",
        PyArray1::from_vec(py, sites.atomic_numbers),
    )?;
    result.set_item("occupancies", PyArray1::from_vec(py, sites.occupancies))?;
    result.set_item(
        "oxidation_states",
        PyArray1::from_vec(py, sites.oxidation_states),
    )?;
    result.set_item("findings", findings)?;
    Ok(result)
}
