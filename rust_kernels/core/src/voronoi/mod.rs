//! Voronoi cells by exact plane cutting: a cell starts as a cube that is sure to hold it and is cut
//! by the bisectors to its neighbours, nearest first, until the next neighbour is more than twice
//! as far away as the farthest vertex (the security radius).

mod cell;
mod search;

use rayon::prelude::*;

use crate::batch::{Crystal, CrystalBatch};
use crate::error::{BatchError, CrystalError};
use search::{CellSearch, Workspace};

/// Faces whose solid angle is below this part of the cell's largest are rounding, not faces.
const FACE_TOLERANCE: f64 = 1e-9;

/// A face exceeds a threshold only by more than this part of it: in a cubic perovskite the faces
/// of oxygen stand at exactly 1, 1/2 and 1/4 of the largest, and rounding must not decide.
const TIE_TOLERANCE: f64 = 1e-6;

/// Largest relative deviation of the sum of the cells from the volume of the crystal.
const VOLUME_TOLERANCE: f64 = 1e-6;

/// Largest relative deviation of the solid angles of a cell from the sphere.
const SOLID_ANGLE_TOLERANCE: f64 = 1e-6;

/// Fewest sites that a thread takes at a time in a large crystal.
const MIN_SITES_PER_JOB: usize = 16;

/// What to compute.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Coordination numbers count the faces whose solid angle, relative to the largest of the
    /// cell, exceeds these.
    pub thresholds: &'a [f64],
    /// Whether the alternatives of a site ([`Crystal::are_alternatives`]) leave its cell alone.
    pub alternatives: bool,
    /// Whether the faces are listed.
    pub faces: bool,
}

impl Options<'_> {
    fn validate(&self) -> Result<(), BatchError> {
        if let Some(found) = self.thresholds.iter().find(|t| !(0.0..1.0).contains(*t)) {
            return Err(BatchError::Parameter {
                parameter: "thresholds",
                found: *found,
                expected: "fractions from 0 to below 1",
            });
        }
        Ok(())
    }
}

/// The face that a cell shares with the cell of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Site of the neighbour within the crystal.
    pub neighbor: usize,
    /// Lattice translation of the neighbour.
    pub shift: [i32; 3],
    /// Distance of the neighbour in angstrom, twice that of the face.
    pub distance: f64,
    /// Area in square angstrom.
    pub area: f64,
    /// Solid angle seen from the site, in steradian.
    pub solid_angle: f64,
    /// Occupancy of the neighbour and of its alternatives at the very same place.
    pub occupancy: f64,
}

/// Cell of one site.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoronoiCell {
    /// In cubic angstrom.
    pub volume: f64,
    /// (n_thresholds,) occupancies of the neighbours behind the faces above each threshold.
    pub coordination_numbers: Vec<f64>,
    /// `(sum w)^2 / sum w^2` over the solid angles of the faces, each counted with the occupancy of
    /// its neighbour: the number of faces, if all were equal, else less.
    pub effective_coordination_number: f64,
    /// Radius of the largest sphere around the site within the cell, in angstrom.
    pub inscribed_radius: f64,
    /// Faces by the distance of the neighbour, if they were asked for.
    pub faces: Vec<Face>,
    /// Whether alternatives of the site were passed over.
    has_alternatives: bool,
}

/// Cells of the chosen sites of one crystal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SiteCells {
    /// Those that are the same by symmetry are there once.
    cells: Vec<VoronoiCell>,
    /// (n_chosen,) the cell of each site.
    of_site: Vec<u32>,
}

impl SiteCells {
    /// The cells, site by site.
    pub fn iter(&self) -> impl Iterator<Item = &VoronoiCell> {
        self.of_site.iter().map(|cell| &self.cells[*cell as usize])
    }
}

/// Cells of the chosen sites of each crystal, in order.
pub fn voronoi(
    batch: &CrystalBatch<'_>,
    sites: Option<&[bool]>,
    options: &Options<'_>,
) -> Result<Vec<Result<SiteCells, CrystalError>>, BatchError> {
    options.validate()?;
    let expected = batch.frac_coords.len();
    if let Some(found) = sites.map(<[bool]>::len)
        && found != expected
    {
        return Err(BatchError::Length {
            array: "sites",
            found,
            expected,
        });
    }
    Ok(
        batch.par_map_init(Workspace::default, |workspace, k, crystal| {
            let chosen: Vec<usize> = match sites {
                Some(mask) => {
                    let mask = &mask[batch.sites(k)];
                    (0..mask.len()).filter(|site| mask[*site]).collect()
                }
                None => (0..crystal.n_sites()).collect(),
            };
            crystal_cells(workspace, crystal, &chosen, options)
        }),
    )
}

fn crystal_cells(
    workspace: &mut Workspace,
    crystal: &Crystal<'_>,
    chosen: &[usize],
    options: &Options<'_>,
) -> Result<SiteCells, CrystalError> {
    if chosen.is_empty() {
        return Ok(SiteCells::default());
    }
    if crystal.pbc != [true; 3] {
        return Err(CrystalError::NotPeriodic { pbc: crystal.pbc });
    }
    let found = if options.faces {
        SiteCells {
            cells: compute(workspace, crystal, chosen, options)?,
            of_site: (0..chosen.len() as u32).collect(),
        }
    } else {
        // What is the same by symmetry is computed once, from a site that does not depend on what
        // else was chosen.
        let representatives = crystal.representatives();
        let mut distinct: Vec<usize> = chosen.iter().map(|site| representatives[*site]).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let mut position = vec![0; crystal.n_sites()];
        for (k, site) in distinct.iter().enumerate() {
            position[*site] = k as u32;
        }
        let of_site = chosen.iter().map(|site| position[representatives[*site]]);
        SiteCells {
            of_site: of_site.collect(),
            cells: compute(workspace, crystal, &distinct, options)?,
        }
    };
    if chosen.len() == crystal.n_sites() && !found.iter().any(|cell| cell.has_alternatives) {
        let sum: f64 = found.iter().map(|cell| cell.volume).sum();
        let volume = crystal.lattice.volume();
        if (sum - volume).abs() > VOLUME_TOLERANCE * volume {
            return Err(CrystalError::VoronoiVolume { sum, volume });
        }
    }
    Ok(found)
}

/// Cells of the given sites, in parallel in a large crystal.
fn compute(
    workspace: &mut Workspace,
    crystal: &Crystal<'_>,
    sites: &[usize],
    options: &Options<'_>,
) -> Result<Vec<VoronoiCell>, CrystalError> {
    let search = CellSearch::new(crystal, options.alternatives);
    let solve = |workspace: &mut Workspace, site: &usize| {
        let has_alternatives = search.find_cell(workspace, *site)?;
        let mut cell = summarize(workspace, *site, options)?;
        cell.has_alternatives = has_alternatives;
        Ok(cell)
    };
    if crystal.is_large() {
        let cells: Vec<Result<VoronoiCell, CrystalError>> = sites
            .par_iter()
            .with_min_len(MIN_SITES_PER_JOB)
            .map_init(Workspace::default, solve)
            .collect();
        // The first error by site, whichever thread was first.
        cells.into_iter().collect()
    } else {
        sites.iter().map(|site| solve(workspace, site)).collect()
    }
}

/// Volume, coordination numbers and faces of the cell in the workspace.
fn summarize(
    workspace: &mut Workspace,
    site: usize,
    options: &Options<'_>,
) -> Result<VoronoiCell, CrystalError> {
    let (bisectors, measures) = workspace.measure();
    let sphere = 4.0 * std::f64::consts::PI;
    let sum: f64 = measures.iter().map(|measure| measure.solid_angle).sum();
    if (sum - sphere).abs() > SOLID_ANGLE_TOLERANCE * sphere {
        return Err(CrystalError::VoronoiSolidAngle { site, sum });
    }
    let largest = measures.iter().map(|m| m.solid_angle).fold(0.0, f64::max);
    let above = |threshold: f64| {
        let smallest = (threshold * (1.0 + TIE_TOLERANCE)).max(FACE_TOLERANCE) * largest;
        let faces = bisectors.iter().zip(measures);
        faces.filter(move |(_, measure)| measure.solid_angle > smallest)
    };
    let count = |threshold: &f64| above(*threshold).map(|(b, _)| b.occupancy).sum();
    let faces = options.faces.then(|| {
        let face = |(bisector, measure): (&search::Bisector, &cell::FaceMeasure)| Face {
            neighbor: bisector.neighbor.site,
            shift: bisector.neighbor.shift,
            distance: bisector.neighbor.distance,
            // A pyramid of height distance / 2.
            area: 6.0 * measure.volume / bisector.neighbor.distance,
            solid_angle: measure.solid_angle,
            occupancy: bisector.occupancy,
        };
        above(0.0).map(face).collect()
    });
    let (mut weight, mut squares) = (0.0, 0.0);
    for (bisector, measure) in above(0.0) {
        weight += bisector.occupancy * measure.solid_angle;
        squares += bisector.occupancy * measure.solid_angle * measure.solid_angle;
    }
    let nearest = above(0.0).map(|(bisector, _)| bisector.neighbor.distance);
    Ok(VoronoiCell {
        volume: measures.iter().map(|measure| measure.volume).sum(),
        coordination_numbers: options.thresholds.iter().map(count).collect(),
        effective_coordination_number: if squares > 0.0 {
            weight * weight / squares
        } else {
            0.0
        },
        inscribed_radius: 0.5 * nearest.fold(f64::INFINITY, f64::min),
        faces: faces.unwrap_or_default(),
        has_alternatives: false,
    })
}
