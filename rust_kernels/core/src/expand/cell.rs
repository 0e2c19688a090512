//! The lattice from cell lengths and angles.

use crate::lattice::{Lattice, Mat3};

use super::finding::shorten;
use super::numbers::{is_null, parse_number};
use super::tags::VALUES;
use super::{Block, Finding, Limits};

/// Reads the cell: a along x, b in the xy plane.
pub fn read_lattice(
    block: &Block<'_>,
    limits: &Limits,
    findings: &mut Vec<Finding>,
) -> Result<Lattice, Finding> {
    let mut values = [0.0; 6];
    for ((value, tag), raw) in values.iter_mut().zip(VALUES).zip(block.cell) {
        let is_angle = tag.starts_with("_cell_angle");
        *value = match parse_number(raw) {
            Some(number) if number > 0.0 => number,
            None if is_null(raw) && is_angle => {
                findings.push(Finding::CellAngleAssumed { tag });
                90.0
            }
            None if is_null(raw) => return Err(Finding::MissingCell { tag }),
            _ => {
                let (value, place) = (shorten(raw), String::new());
                return Err(Finding::BadNumber { tag, value, place });
            }
        };
    }
    let [a, b, c, alpha, beta, gamma] = values;
    for (what, edge) in [("edge a", a), ("edge b", b), ("edge c", c)] {
        check_edge(what, edge, limits)?;
    }
    let bad_cell = Finding::BadCell { alpha, beta, gamma };
    let rows = rows_from_parameters([a, b, c], [alpha, beta, gamma]).ok_or(bad_cell.clone())?;
    let lattice = Lattice::new(&rows).map_err(|_| bad_cell)?;
    for spacing in lattice.plane_spacings() {
        check_edge("distance between lattice planes", spacing, limits)?;
    }
    Ok(lattice)
}

fn check_edge(what: &'static str, found: f64, limits: &Limits) -> Result<(), Finding> {
    let (min, max) = (limits.min_cell_edge, limits.max_cell_edge);
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(Finding::CellEdge {
            what,
            found,
            min,
            max,
        })
    }
}

/// `None` if the angles do not close around a volume.
fn rows_from_parameters([a, b, c]: [f64; 3], angles: [f64; 3]) -> Option<Mat3> {
    let [cos_alpha, cos_beta, cos_gamma] = angles.map(cos_degrees);
    let sin_gamma = (1.0 - cos_gamma * cos_gamma).sqrt();
    let y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma;
    let z_squared = 1.0 - cos_beta * cos_beta - y * y;
    let is_cell = angles.iter().all(|angle| *angle < 180.0) && z_squared > 0.0;
    is_cell.then(|| {
        [
            [a, 0.0, 0.0],
            [b * cos_gamma, b * sin_gamma, 0.0],
            [c * cos_beta, c * y, c * z_squared.sqrt()],
        ]
    })
}

/// Cosine that is exact for the angles that symmetry asks for.
fn cos_degrees(angle: f64) -> f64 {
    match angle {
        60.0 => 0.5,
        90.0 => 0.0,
        120.0 => -0.5,
        _ => angle.to_radians().cos(),
    }
}
