//! `voronoi`.

use numpy::{PyArray1, PyReadonlyArray1};
use pyhpc_core::voronoi::{Face, Options};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::rows;
use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// See `pyhpc.kernels.voronoi`.
#[pyfunction]
pub fn voronoi<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    sites: Option<PyReadonlyArray1<'py, bool>>,
    thresholds: Vec<f64>,
    alternatives: bool,
    faces: bool,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let mask = sites.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let options = Options {
        thresholds: &thresholds,
        alternatives,
        faces,
    };
    let results = pool::run(py, threads, || {
        pyhpc_core::voronoi::voronoi(&view, mask, &options)
    })?
    .map_err(batch_error)?;

    let is_chosen = |site: &usize| mask.is_none_or(|mask| mask[*site]);
    let chosen: Vec<i64> = (0..view.frac_coords.len())
        .filter(is_chosen)
        .map(|site| site as i64)
        .collect();
    let mut volumes = vec![f64::NAN; chosen.len()];
    let mut effective = vec![f64::NAN; chosen.len()];
    let mut radii = vec![f64::NAN; chosen.len()];
    let mut numbers = vec![vec![f64::NAN; chosen.len()]; thresholds.len()];
    let mut list = FaceList {
        site_offsets: vec![0],
        ..FaceList::default()
    };
    let mut row = 0;
    let statuses = Statuses::collect(results, |k, cells| {
        let first = view.site_offsets[k];
        let n_chosen = view.sites(k).filter(is_chosen).count();
        for (row, cell) in (row..).zip(cells.iter().flat_map(|cells| cells.iter())) {
            volumes[row] = cell.volume;
            effective[row] = cell.effective_coordination_number;
            radii[row] = cell.inscribed_radius;
            for (numbers, number) in numbers.iter_mut().zip(&cell.coordination_numbers) {
                numbers[row] = *number;
            }
            list.extend(chosen[row], first, &cell.faces);
        }
        row += n_chosen;
        // Crystals that failed have no faces.
        list.site_offsets
            .resize(row + 1, list.distances.len() as i64);
    });

    let result = PyDict::new(py);
    result.set_item("sites", PyArray1::from_vec(py, chosen))?;
    result.set_item("volumes", PyArray1::from_vec(py, volumes))?;
    let coordination_numbers = PyDict::new(py);
    for (threshold, numbers) in thresholds.iter().zip(numbers) {
        coordination_numbers.set_item(threshold, PyArray1::from_vec(py, numbers))?;
    }
    result.set_item("coordination_numbers", coordination_numbers)?;
    result.set_item(
        "effective_coordination_numbers",
        PyArray1::from_vec(py, effective),
    )?;
    result.set_item("inscribed_radii", PyArray1::from_vec(py, radii))?;
    if faces {
        result.set_item("faces", list.into_dict(py)?)?;
    }
    statuses.write(&result)?;
    Ok(result)
}

/// Faces of all chosen sites as flat arrays.
#[derive(Default)]
struct FaceList {
    i: Vec<i64>,
    j: Vec<i64>,
    shifts: Vec<[i32; 3]>,
    distances: Vec<f64>,
    areas: Vec<f64>,
    solid_angles: Vec<f64>,
    occupancies: Vec<f64>,
    site_offsets: Vec<i64>,
}

impl FaceList {
    /// Adds the faces of site `i` of the batch; `first` is the first site of its crystal.
    fn extend(&mut self, i: i64, first: i64, faces: &[Face]) {
        for face in faces {
            self.i.push(i);
            self.j.push(first + face.neighbor as i64);
            self.shifts.push(face.shift);
            self.distances.push(face.distance);
            self.areas.push(face.area);
            self.solid_angles.push(face.solid_angle);
            self.occupancies.push(face.occupancy);
        }
        self.site_offsets.push(self.i.len() as i64);
    }

    fn into_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("i", PyArray1::from_vec(py, self.i))?;
        dict.set_item("j", PyArray1::from_vec(py, self.j))?;
        dict.set_item("shifts", rows(py, self.shifts)?)?;
        dict.set_item("distances", PyArray1::from_vec(py, self.distances))?;
        dict.set_item("areas", PyArray1::from_vec(py, self.areas))?;
        dict.set_item("solid_angles", PyArray1::from_vec(py, self.solid_angles))?;
        dict.set_item("occupancies", PyArray1::from_vec(py, self.occupancies))?;
        dict.set_item("site_offsets", PyArray1::from_vec(py, self.site_offsets))?;
        Ok(dict)
    }
}
