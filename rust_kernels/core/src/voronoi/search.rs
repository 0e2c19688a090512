//! The neighbours that cut a cell, found in growing shells.

use std::sync::OnceLock;

use super::cell::{Cell, Cut, FaceMeasure, N_BOX_FACES};
use crate::batch::Crystal;
use crate::error::CrystalError;
use crate::lattice::{Vec3, norm};
use crate::neighbors::{Block, BlockVisitor, LANES, Neighbor, NeighborGrid, Place};

/// Neighbours within the first shell, at the crystal's mean number density. Enough for most cells
/// of dense crystals: the security radius of an fcc cell holds 18, of random points about 100.
const FIRST_SHELL: f64 = 50.0;

/// Ratio of the outer radii of successive shells.
const SHELL_GROWTH: f64 = 1.5;

/// Most images of sites that are searched for one cell; only a lattice close to flat has more.
const MAX_SEARCHED: f64 = 3e7;

/// Sites closer than this (angstrom) are at the very same place.
const COINCIDENT: f64 = 1e-3;

/// The plane half-way to a neighbour.
#[derive(Debug, Clone, Copy)]
pub struct Bisector {
    /// The neighbour.
    pub neighbor: Neighbor,
    /// Occupancy of the neighbour and of its alternatives at the very same place.
    pub occupancy: f64,
}

/// Neighbours between two distances, nearest first once sorted.
#[derive(Debug, Default)]
struct Shell {
    found: Vec<(f64, Place)>,
    /// The upper half of each distance, which are in the order of their bits, and the number of what
    /// was found.
    order: Vec<u64>,
}

impl Shell {
    fn clear(&mut self) {
        self.found.clear();
        self.order.clear();
    }

    /// Where distances are equal, the order in which neighbours were found, which depends on the
    /// crystal alone, decides.
    fn sort(&mut self) {
        self.order.sort_unstable();
        let exact = |key: &u64| (self.found[*key as u32 as usize].0.to_bits(), *key);
        for same in self
            .order
            .chunk_by_mut(|one, other| one >> 32 == other >> 32)
        {
            if same.len() > 1 {
                same.sort_unstable_by_key(exact);
            }
        }
    }

    fn nearest_first(&self) -> impl Iterator<Item = (f64, Place)> {
        self.order
            .iter()
            .map(|key| self.found[*key as u32 as usize])
    }
}

/// Gathers the neighbours from one distance to below another.
struct Gather<'a> {
    from: f64,
    to: f64,
    shell: &'a mut Shell,
}

impl BlockVisitor for Gather<'_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        for (group, squared) in block.squared().iter().enumerate() {
            let mut distances = [0.0; LANES];
            for k in 0..LANES {
                distances[k] = squared[k].sqrt();
            }
            for (k, &distance) in distances.iter().enumerate() {
                // What only fills the group is infinitely far away.
                if distance >= self.from && distance < self.to {
                    let key = distance.to_bits() >> 32 << 32 | self.shell.found.len() as u64;
                    let place = block.place(group * LANES + k);
                    self.shell.order.push(key);
                    self.shell.found.push((distance, place));
                }
            }
        }
    }
}

/// Buffers of one thread, kept from cell to cell.
#[derive(Debug, Default)]
pub struct Workspace {
    cell: Cell,
    shell: Shell,
    /// By face of the cell, those of the cube it started from left out.
    bisectors: Vec<Bisector>,
    measures: Vec<FaceMeasure>,
}

impl Workspace {
    /// Bisectors that cut the cell and what is left of their faces, nearest first.
    pub fn measure(&mut self) -> (&[Bisector], &[FaceMeasure]) {
        self.cell.measure(&mut self.measures);
        // The cube is larger than any cell, so nothing of it is left.
        (&self.bisectors, &self.measures[N_BOX_FACES..])
    }
}

/// Cuts the cells of one crystal.
#[derive(Debug)]
pub struct CellSearch<'c> {
    crystal: &'c Crystal<'c>,
    alternatives: bool,
    occupancies: Vec<f64>,
    /// Half the edge of a cube that holds every cell: no point is farther than half of a + b + c
    /// from the nearest image of a site.
    half_width: f64,
    plane_spacings: Vec3,
    /// Outer radius of each shell and the grid that finds it, made when first needed.
    shells: Vec<(f64, OnceLock<NeighborGrid>)>,
}

impl<'c> CellSearch<'c> {
    /// Prepares the search; with `alternatives`, sites that are alternatives of one another do not
    /// cut each other's cells.
    pub fn new(crystal: &'c Crystal<'c>, alternatives: bool) -> Self {
        let edges = crystal.lattice.rows().map(|row| norm(&row));
        let half_width = 0.5 * edges.iter().sum::<f64>();
        let density = crystal.n_sites() as f64 / crystal.lattice.volume();
        let sphere = 4.0 / 3.0 * std::f64::consts::PI;
        let mut cutoff = (FIRST_SHELL / (sphere * density)).cbrt();
        let mut shells = Vec::with_capacity(8);
        shells.push((cutoff, OnceLock::new()));
        // Twice the corner of the cube, the largest security radius there can be.
        while cutoff < 2.0 * 3f64.sqrt() * half_width {
            cutoff *= SHELL_GROWTH;
            shells.push((cutoff, OnceLock::new()));
        }
        let mut search = Self {
            crystal,
            alternatives,
            occupancies: (0..crystal.n_sites())
                .map(|site| crystal.site_occupancy(site))
                .collect(),
            half_width,
            plane_spacings: crystal.lattice.plane_spacings(),
            shells,
        };
        // Every site needs the first one.
        let first = search.shells[0].0;
        if search.check_size(first).is_ok() {
            search.shells[0].1 = NeighborGrid::new(crystal, first).into();
        }
        search
    }

    /// Cuts the cell of a site in the workspace; true if alternatives were passed over.
    pub fn find_cell(&self, workspace: &mut Workspace, site: usize) -> Result<bool, CrystalError> {
        let Workspace {
            cell,
            shell,
            bisectors,
            ..
        } = workspace;
        cell.reset(self.half_width);
        bisectors.clear();
        let mut has_alternatives = false;
        let mut inner = 0.0;
        for (outer, grid) in &self.shells {
            self.check_size(*outer)?;
            let grid = grid.get_or_init(|| NeighborGrid::on_one_thread(self.crystal, *outer));
            shell.clear();
            let mut gather = Gather {
                from: inner,
                to: 2.0 * cell.radius(),
                shell,
            };
            grid.for_each_block(site, &mut gather);
            shell.sort();
            for (distance, place) in shell.nearest_first() {
                if distance > 2.0 * cell.radius() {
                    return Ok(has_alternatives);
                }
                let neighbor = grid.neighbor(site, place, distance);
                if self.alternatives && self.crystal.are_alternatives(site, neighbor.site, distance)
                {
                    has_alternatives = true;
                    continue;
                }
                if distance < COINCIDENT {
                    return Err(CrystalError::CoincidentSites {
                        site,
                        other: neighbor.site,
                        distance,
                    });
                }
                if self.joins_bisector(bisectors, &neighbor) {
                    continue;
                }
                let normal = neighbor.vector.map(|c| c / distance);
                match cell.cut(&normal, 0.5 * distance) {
                    Cut::Missed => {}
                    Cut::Made => bisectors.push(Bisector {
                        neighbor,
                        occupancy: self.occupancies[neighbor.site],
                    }),
                    Cut::Degenerate => return Err(CrystalError::DegenerateCell { site }),
                }
            }
            if 2.0 * cell.radius() <= *outer {
                return Ok(has_alternatives);
            }
            inner = *outer;
        }
        Err(CrystalError::DegenerateCell { site })
    }

    /// Adds a neighbour to the face of its alternative at the very same place, if there is one:
    /// the two stand for one atom.
    fn joins_bisector(&self, bisectors: &mut [Bisector], neighbor: &Neighbor) -> bool {
        if !self.alternatives || self.occupancies[neighbor.site] >= 1.0 {
            return false;
        }
        let same_place = |bisector: &&mut Bisector| {
            let apart = crate::lattice::sub(&bisector.neighbor.vector, &neighbor.vector);
            let distance = norm(&apart);
            distance < COINCIDENT
                && self
                    .crystal
                    .are_alternatives(bisector.neighbor.site, neighbor.site, distance)
        };
        match bisectors.iter_mut().find(same_place) {
            Some(bisector) => {
                bisector.occupancy += self.occupancies[neighbor.site];
                true
            }
            None => false,
        }
    }

    /// Refuses a search over more images than any sound lattice has within reach.
    fn check_size(&self, cutoff: f64) -> Result<(), CrystalError> {
        let spacings = self.plane_spacings.iter();
        let images: f64 = spacings.map(|d| 1.0 + 2.0 * cutoff / d).product();
        let pairs = images * self.crystal.n_sites() as f64;
        if pairs <= MAX_SEARCHED {
            Ok(())
        } else {
            Err(CrystalError::TooManyPairs {
                pairs,
                cutoff,
                limit: MAX_SEARCHED,
            })
        }
    }
}
