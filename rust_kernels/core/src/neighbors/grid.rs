//! Atoms of one crystal in rows that searches run along.

use super::scan::{self, Hits, LANES, PIECE, Run};
use crate::batch::{Crystal, map_sites};
use crate::lattice::{Lattice, Mat3, Vec3, dot, norm, row_times, sub};
use crate::simd::{self, Level};

/// Atoms in a row right through the sphere of a search, at the width of rows that was found to be
/// the fastest: narrower rows are more of them, wider ones hold more that is out of reach.
const ATOMS_PER_RUN: f64 = 24.0;

/// What rounding may do to the place of an atom, in angstrom or bins.
const SLACK: f64 = 1e-6;

/// One neighbour of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Site of the neighbour within the crystal.
    pub site: usize,
    /// Lattice translation of the neighbour, for the coordinates as given (not wrapped).
    pub shift: [i32; 3],
    /// Vector from the site to the neighbour, in angstrom.
    pub vector: Vec3,
    /// Its length.
    pub distance: f64,
}

/// Atoms in the order in which searches run over them, row after row, and [`LANES`] to spare.
#[derive(Debug, Default)]
pub struct Atoms {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub z: Vec<f64>,
    labels: Vec<Label>,
}

/// Lattice translation of an atom, for the coordinates as given, and its site: 16 bytes, so that
/// they are fetched and moved at once.
pub type Label = [i32; 4];

/// Where a site is itself.
#[derive(Debug, Clone, Copy)]
struct Home {
    coords: Vec3,
    /// In units of bins.
    place: Vec3,
    /// Whole lattice vectors that wrapping took off, as a label for the site of number 0.
    wrap: Label,
    /// Its slot among the atoms.
    slot: u32,
}

/// A translation along the first two vectors of the basis.
#[derive(Debug, Clone, Copy)]
struct Image {
    /// In angstrom.
    offset: Vec3,
    /// In whole lattice vectors, as a label for the site of number 0.
    label: Label,
}

/// Neighbours of one site, several at a time.
#[derive(Debug)]
pub struct Block<'a> {
    grid: &'a NeighborGrid,
    home: &'a Home,
    hits: &'a Hits,
}

impl Block<'_> {
    /// Number of neighbours, at least 1.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Never true.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Squared distances in square angstrom, in whole groups of [`LANES`]: those beyond `len` are
    /// infinite.
    #[inline(always)]
    pub fn squared(&self) -> &[[f64; LANES]] {
        self.hits.squared()
    }

    /// Slots of the neighbours among the atoms of the grid, for values that
    /// [`NeighborGrid::by_slot`] has put there, in groups likewise. Those beyond `len` are 0.
    #[inline(always)]
    pub fn slots(&self) -> &[[u32; LANES]] {
        self.hits.slots()
    }

    #[inline(always)]
    fn slot(&self, k: usize) -> usize {
        self.slots().as_flattened()[k] as usize
    }

    #[inline(always)]
    fn image(&self, k: usize) -> &Image {
        &self.grid.images[self.hits.images().as_flattened()[k] as usize]
    }

    /// Site of neighbour `k`.
    #[inline(always)]
    pub fn site(&self, k: usize) -> usize {
        self.grid.atoms.labels[self.slot(k)][3] as usize
    }

    /// Distance of neighbour `k` in angstrom.
    #[inline(always)]
    pub fn distance(&self, k: usize) -> f64 {
        self.squared().as_flattened()[k].sqrt()
    }

    /// Lattice translation of neighbour `k`.
    #[inline(always)]
    pub fn shift(&self, k: usize) -> [i32; 3] {
        let [x, y, z, _] = self.label(k);
        [x, y, z]
    }

    /// Lattice translation and site of neighbour `k`.
    #[inline(always)]
    pub fn label(&self, k: usize) -> Label {
        let image = &self.image(k).label;
        let own = &self.grid.atoms.labels[self.slot(k)];
        let wrap = &self.home.wrap;
        let mut label = *own;
        for l in 0..label.len() {
            label[l] += image[l] + wrap[l];
        }
        label
    }

    /// All there is to know of neighbour `k`.
    #[inline(always)]
    pub fn neighbor(&self, k: usize) -> Neighbor {
        Neighbor {
            site: self.site(k),
            shift: self.shift(k),
            vector: self.vector(k),
            distance: self.distance(k),
        }
    }

    /// Vector from the site to neighbour `k`, in angstrom.
    #[inline(always)]
    pub fn vector(&self, k: usize) -> Vec3 {
        let (atoms, slot) = (&self.grid.atoms, self.slot(k));
        let origin = sub(&self.home.coords, &self.image(k).offset);
        sub(&[atoms.x[slot], atoms.y[slot], atoms.z[slot]], &origin)
    }
}

/// What is done with the neighbours of a site. Mark `visit`, and what it calls in its loops,
/// `#[inline(always)]`: only what is inlined uses all of the processor's vector instructions.
pub trait BlockVisitor {
    /// Takes the next neighbours.
    fn visit(&mut self, block: &Block<'_>);
}

impl<F: FnMut(&Block<'_>)> BlockVisitor for F {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        self(block);
    }
}

/// Atoms of one crystal, sorted so that those within a cutoff of a site are found quickly.
///
/// The (reduced and wrapped) cell is cut into bins along its vectors. A row of bins along the third
/// vector goes on, through images of the cell, as far as any search may reach, so that what a search
/// takes of a row is one run of atoms that lie next to each other in memory. Along the other
/// vectors it is the searching site that is moved. Of each row only the bins that the cutoff's
/// sphere can touch are run through.
#[derive(Debug)]
pub struct NeighborGrid {
    level: Level,
    cutoff: f64,
    periodic: [bool; 3],
    /// Columns of bins in the cell, as seen along the rows.
    n_columns: [i64; 2],
    /// Bins of a row, images included.
    n_layers: i64,
    /// Bins of a row that come before the cell.
    n_below: i64,
    rows: RowShape,
    atoms: Atoms,
    /// First slot of each bin, row after row, and the number of atoms.
    starts: Vec<u32>,
    homes: Vec<Home>,
    /// Sites bin after bin.
    order: Vec<u32>,
    /// Farthest image of the cell along the first two vectors, either way.
    reach: [i64; 2],
    /// All images up to there, those along the second vector next to each other.
    images: Vec<Image>,
}

/// The row of bins along the third vector of the basis, as seen along and across that vector.
#[derive(Debug)]
struct RowShape {
    /// Distances between the faces of a bin, in angstrom.
    widths: Vec3,
    /// Parts of the first two edges of a bin across the row.
    across: [Vec3; 2],
    /// Distances between opposite sides of a row, in angstrom.
    sides: [f64; 2],
    /// Parts of the first two edges of a bin along the row.
    along: [f64; 2],
    /// Bins per angstrom along the row.
    per_step: f64,
    /// No point of a row is farther from its axis than this.
    radius: f64,
    /// No point of a bin is farther from its centre than this, along the row.
    half_length: f64,
}

impl RowShape {
    fn new(edges: &Mat3, widths: Vec3) -> Self {
        let step = norm(&edges[2]);
        let axis = edges[2].map(|x| x / step);
        let along = [dot(&edges[0], &axis), dot(&edges[1], &axis)];
        let across: [Vec3; 2] =
            std::array::from_fn(|e| std::array::from_fn(|k| edges[e][k] - along[e] * axis[k]));
        let diagonal = |sign: f64| -> f64 {
            norm(&std::array::from_fn(|k| across[0][k] + sign * across[1][k]))
        };
        let overlap = dot(&across[0], &across[1]);
        let side = |one: usize, other: usize| {
            let squared = dot(&across[one], &across[one]);
            (squared - overlap * overlap / dot(&across[other], &across[other])).sqrt()
        };
        Self {
            widths,
            across,
            sides: [side(0, 1), side(1, 0)],
            along,
            per_step: 1.0 / step,
            radius: 0.5 * diagonal(1.0).max(diagonal(-1.0)) + SLACK,
            half_length: 0.5 * (along[0].abs() + along[1].abs() + step) + SLACK,
        }
    }

    /// The bins of a row, counted from the one whose lower end is level with a point, that a sphere
    /// around the point can touch: all between the two numbers, none where they cross. The row's
    /// axis is `x`, `y` edges of bins away from the point.
    #[inline(always)]
    fn run(&self, x: f64, y: f64, cutoff: f64) -> (f64, f64) {
        let axis: Vec3 = std::array::from_fn(|k| x * self.across[0][k] + y * self.across[1][k]);
        // Bounds by the circle around the row and by either pair of its sides.
        let mut gap = largest(norm(&axis) - self.radius, 0.0);
        gap = largest(gap, (x.abs() - 0.5) * self.sides[0] - SLACK);
        gap = largest(gap, (y.abs() - 0.5) * self.sides[1] - SLACK);
        let squared = cutoff * cutoff - gap * gap;
        let reach = largest(squared, 0.0).sqrt() + self.half_length;
        let reach = if squared < 0.0 { -1.0 } else { reach };
        let level = x * self.along[0] + y * self.along[1];
        let low = (-reach - level) * self.per_step;
        let high = (reach - level) * self.per_step;
        (low, high)
    }
}

/// The larger number: unlike `f64::max`, one instruction.
#[inline(always)]
fn largest(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// The smaller number likewise.
#[inline(always)]
fn smallest(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// The whole number below `x`, but no less than -1 and no more than `most`; where `x` is whole it
/// may be the one below. Free of branches and function calls.
#[inline(always)]
fn floor(x: f64, most: f64) -> i32 {
    const ROUND_TO_1: f64 = 1.5 * (1u64 << 52) as f64;
    let half_below = smallest(largest(x - 0.5, -1.0), most);
    (half_below + ROUND_TO_1).to_bits() as i32
}

impl NeighborGrid {
    /// Sorts the sites of a crystal for searches within `cutoff` (angstrom, positive).
    pub fn new(crystal: &Crystal<'_>, cutoff: f64) -> Self {
        Self::with_level(crystal, cutoff, simd::level())
    }

    /// The same with the instructions of a level, which must be supported.
    pub fn with_level(crystal: &Crystal<'_>, cutoff: f64, level: Level) -> Self {
        assert!(level.is_supported());
        let n = crystal.n_sites();
        let periodic = crystal.pbc;
        let (basis, steps) = crystal.lattice.reduced(periodic);
        let spacings = basis.plane_spacings();
        let mut homes: Vec<Home> = (crystal.frac_coords.iter())
            .map(|frac| wrapped(crystal, &basis, &steps, frac))
            .collect();
        // Start and extent, in units of the basis, of what the bins cover: the cell where it is
        // periodic, the span of the atoms where it is not.
        let (mut start, mut extent) = ([0.0; 3], [1.0; 3]);
        for k in (0..3).filter(|&k| !periodic[k]) {
            let along = || homes.iter().map(|home| home.place[k]);
            start[k] = along().fold(f64::INFINITY, f64::min);
            extent[k] = (along().fold(f64::NEG_INFINITY, f64::max) - start[k]).max(1e-9);
        }

        let lengths: Vec3 = std::array::from_fn(|k| spacings[k] * extent[k]);
        // Atoms in a plane or on a line are not dense: a search sees the space around them.
        let seen: Vec3 = std::array::from_fn(|k| {
            if periodic[k] {
                1.0
            } else {
                extent[k].max(cutoff)
            }
        });
        let volume = basis.volume() * seen.iter().product::<f64>();
        let width = (ATOMS_PER_RUN * volume / (n as f64 * 2.0 * cutoff)).sqrt();
        // Not many more bins than atoms.
        let wanted = [0, 1].map(|k| (lengths[k] / width).clamp(1.0, n as f64));
        let excess = (wanted[0] * wanted[1] / n as f64).max(1.0).sqrt();
        let n_columns = wanted.map(|count| (count / excess).max(1.0) as i64);
        let n_home = (n as i64 / (n_columns[0] * n_columns[1])).max(1);
        let n_bins = [n_columns[0], n_columns[1], n_home];

        let share: Vec3 = std::array::from_fn(|k| extent[k] / n_bins[k] as f64);
        let edges = std::array::from_fn(|k| basis.rows()[k].map(|x| x * share[k]));
        let rows = RowShape::new(&edges, std::array::from_fn(|k| spacings[k] * share[k]));
        for home in &mut homes {
            home.place = std::array::from_fn(|k| (home.place[k] - start[k]) / share[k]);
        }
        let bins = |k: usize| cutoff / rows.widths[k] + SLACK + 1.0;
        let n_below = if periodic[2] { bins(2) as i64 + 1 } else { 0 };
        let reach = [0, 1].map(|k| {
            if periodic[k] {
                (bins(k) / n_bins[k] as f64) as i64 + 1
            } else {
                0
            }
        });
        let mut images = Vec::with_capacity(((2 * reach[0] + 1) * (2 * reach[1] + 1)) as usize);
        for x in -reach[0]..=reach[0] {
            for y in -reach[1]..=reach[1] {
                let (x, y) = (x as i32, y as i32);
                images.push(Image {
                    offset: row_times(&[f64::from(x), f64::from(y), 0.0], basis.rows()),
                    label: label(0, |k| x * steps[0][k] + y * steps[1][k]),
                });
            }
        }
        let mut grid = Self {
            level,
            cutoff,
            periodic,
            n_columns,
            n_layers: n_home + 2 * n_below,
            n_below,
            rows,
            atoms: Atoms::default(),
            starts: Vec::new(),
            homes,
            order: Vec::new(),
            reach,
            images,
        };
        grid.fill_rows(n_home, &basis.rows()[2], &steps[2]);
        grid
    }

    /// Lines up the atoms, row after row, each through all its images; `vector` and `step` lead
    /// from one image to the next.
    fn fill_rows(&mut self, n_home: i64, vector: &Vec3, step: &[i32; 3]) {
        let n_rows = self.n_columns[0] * self.n_columns[1];
        let n_bins = [self.n_columns[0], self.n_columns[1], n_home];
        let bin = |home: &Home| {
            let [x, y, z]: [i64; 3] =
                std::array::from_fn(|k| (home.place[k] as i64).clamp(0, n_bins[k] - 1));
            ((x * n_bins[1] + y) * n_bins[2] + z) as usize
        };
        let mut home_starts = vec![0u32; (n_rows * n_home) as usize + 1];
        for home in &self.homes {
            home_starts[bin(home) + 1] += 1;
        }
        for b in 1..home_starts.len() {
            home_starts[b] += home_starts[b - 1];
        }
        let mut next = home_starts.clone();
        let mut sorted = vec![0u32; self.homes.len()];
        for (site, home) in self.homes.iter().enumerate() {
            let slot = &mut next[bin(home)];
            sorted[*slot as usize] = site as u32;
            *slot += 1;
        }

        let n_images = (self.n_layers as usize).div_ceil(n_home as usize) + 1;
        let most = self.homes.len() * n_images + LANES;
        let atoms = &mut self.atoms;
        for list in [&mut atoms.x, &mut atoms.y, &mut atoms.z] {
            list.reserve_exact(most);
        }
        atoms.labels.reserve_exact(most);
        self.starts
            .reserve_exact((n_rows * self.n_layers) as usize + 1);
        for row in 0..n_rows {
            let first = -self.n_below;
            let (mut image, mut layer) = (first.div_euclid(n_home), first.rem_euclid(n_home));
            for _ in 0..self.n_layers {
                self.starts.push(atoms.labels.len() as u32);
                let at = (row * n_home + layer) as usize;
                let offset = vector.map(|x| image as f64 * x);
                let shift = step.map(|x| image as i32 * x);
                for &site in &sorted[home_starts[at] as usize..home_starts[at + 1] as usize] {
                    let home = &mut self.homes[site as usize];
                    if image == 0 {
                        home.slot = atoms.labels.len() as u32;
                    }
                    atoms.x.push(home.coords[0] + offset[0]);
                    atoms.y.push(home.coords[1] + offset[1]);
                    atoms.z.push(home.coords[2] + offset[2]);
                    atoms
                        .labels
                        .push(label(site as usize, |k| shift[k] - home.wrap[k]));
                }
                layer += 1;
                if layer == n_home {
                    (image, layer) = (image + 1, 0);
                }
            }
        }
        let n = atoms.labels.len();
        self.order = sorted;
        self.starts.push(n as u32);
        for list in [&mut atoms.x, &mut atoms.y, &mut atoms.z] {
            list.resize(n + LANES, 0.0);
        }
    }

    /// All sites in the order in which they are best searched around: one after another, they find
    /// much the same atoms, which are at hand then.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|&site| site as usize)
    }

    /// Maps each site to a value, by site, in parallel where `parallel`; sites are visited in
    /// [`Self::order`].
    pub fn map_sites<T: Default + Clone + Send>(
        &self,
        parallel: bool,
        f: impl Fn(usize) -> T + Sync + Send,
    ) -> Vec<T> {
        /// How many sites ahead the next one is fetched.
        const AHEAD: usize = 4;
        let found = map_sites(self.order.len(), parallel, |k| {
            if let Some(&site) = self.order.get(k + AHEAD) {
                scan::prefetch(&self.homes[site as usize]);
            }
            f(self.order[k] as usize)
        });
        let mut values = vec![T::default(); found.len()];
        for (site, value) in self.order().zip(found) {
            values[site] = value;
        }
        values
    }

    /// The value of each site at each of its slots.
    pub fn by_slot<T>(&self, value: impl Fn(usize) -> T) -> Vec<T> {
        let labels = self.atoms.labels.iter();
        labels.map(|label| value(label[3] as usize)).collect()
    }

    /// Calls `visit` for each neighbour of `site`, in an order that depends on the crystal alone.
    pub fn for_each(&self, site: usize, mut visit: impl FnMut(Neighbor)) {
        self.for_each_block(site, &mut |block: &Block<'_>| {
            (0..block.len()).for_each(|k| visit(block.neighbor(k)));
        });
    }

    /// Number of neighbours of `site`.
    pub fn count(&self, site: usize) -> usize {
        self.dispatch::<false, _>(site, &mut |_: &Block<'_>| {})
    }

    /// Hands the neighbours of `site` to a visitor, several at a time, in an order that depends on
    /// the crystal alone.
    #[inline]
    pub fn for_each_block<V: BlockVisitor>(&self, site: usize, visitor: &mut V) {
        let left = self.dispatch::<true, V>(site, visitor);
        debug_assert_eq!(left, 0);
    }

    /// Searches with the instructions of the level; without `KEEP`, neighbours are not handed on but
    /// counted.
    #[inline]
    fn dispatch<const KEEP: bool, V: BlockVisitor>(&self, site: usize, visitor: &mut V) -> usize {
        match self.level {
            Level::Scalar => self.search::<KEEP, V>(site, visitor, scan::scalar::<KEEP>),
            // SAFETY: the processor has the instructions, which `with_level` asserted.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.search_avx2::<KEEP, V>(site, visitor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.search_avx512::<KEEP, V>(site, visitor) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => self.search::<KEEP, V>(site, visitor, scan::scalar::<KEEP>),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn search_avx2<const KEEP: bool, V: BlockVisitor>(
        &self,
        site: usize,
        visitor: &mut V,
    ) -> usize {
        self.search::<KEEP, V>(site, visitor, |atoms, run, hits| {
            scan::avx2::<KEEP>(atoms, run, hits);
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    fn search_avx512<const KEEP: bool, V: BlockVisitor>(
        &self,
        site: usize,
        visitor: &mut V,
    ) -> usize {
        self.search::<KEEP, V>(site, visitor, |atoms, run, hits| {
            scan::avx512::<KEEP>(atoms, run, hits);
        })
    }

    /// Runs through all rows that the sphere around a site can touch; gives the number of neighbours
    /// that were not handed on.
    #[inline(always)]
    fn search<const KEEP: bool, V: BlockVisitor>(
        &self,
        site: usize,
        visitor: &mut V,
        scan: impl Fn(&Atoms, &Run, &mut Hits),
    ) -> usize {
        let home = &self.homes[site];
        let mut hits = Hits::new();
        // One by one: a closure would not be compiled for the level.
        let x_range = self.columns_around(0, home.place[0]);
        let y_range = self.columns_around(1, home.place[1]);
        let [nx, ny] = self.n_columns;
        let level = home.place[2] - 0.5 + self.n_below as f64;
        let n_layers = self.n_layers as f64;
        let own_image = (self.reach[0] * (2 * self.reach[1] + 1) + self.reach[1]) as usize;
        let (mut image_x, mut column_x) = (x_range.0.div_euclid(nx), x_range.0.rem_euclid(nx));
        let first_y = (y_range.0.div_euclid(ny), y_range.0.rem_euclid(ny));
        for bx in x_range.0..=x_range.1 {
            let x = bx as f64 + 0.5 - home.place[0];
            let images = (image_x + self.reach[0]) * (2 * self.reach[1] + 1) + self.reach[1];
            let (mut image_y, mut column_y) = first_y;
            let mut by = y_range.0;
            while by <= y_range.1 {
                // Several rows at a time, of which the last may be too many.
                let (mut firsts, mut lasts) = ([0i32; LANES], [0i32; LANES]);
                for k in 0..LANES {
                    let y = (by as f64 + k as f64) + 0.5 - home.place[1];
                    let (low, high) = self.rows.run(x, y, self.cutoff);
                    firsts[k] = floor(level + low + 1.0, n_layers).max(0);
                    lasts[k] = floor(level + high, n_layers - 1.0);
                }
                let n_rows = LANES.min((y_range.1 - by + 1) as usize);
                for (&first, &last) in firsts[..n_rows].iter().zip(&lasts) {
                    if first <= last {
                        let row = (column_x * ny + column_y) * self.n_layers;
                        let start = self.starts[(row + i64::from(first)) as usize];
                        let end = self.starts[(row + i64::from(last) + 1) as usize];
                        let image = (images + image_y) as usize;
                        let origin = sub(&home.coords, &self.images[image].offset);
                        // All of the run but the site itself.
                        let is_own = image == own_image && (start..end).contains(&home.slot);
                        let parts = if is_own {
                            [(start, home.slot), (home.slot + 1, end)]
                        } else {
                            [(start, end), (end, end)]
                        };
                        for (start, end) in parts {
                            let mut run = Run {
                                start: start as usize,
                                end: start as usize,
                                image: image as u32,
                                origin,
                                cutoff_squared: self.cutoff * self.cutoff,
                            };
                            while run.end < end as usize {
                                run.start = run.end;
                                run.end = (end as usize).min(run.start + PIECE);
                                scan(&self.atoms, &run, &mut hits);
                                if KEEP && hits.is_full() {
                                    self.hand_on(home, &mut hits, visitor);
                                }
                            }
                        }
                    }
                    column_y += 1;
                    if column_y == ny {
                        (image_y, column_y) = (image_y + 1, 0);
                    }
                }
                by += LANES as i64;
            }
            column_x += 1;
            if column_x == nx {
                (image_x, column_x) = (image_x + 1, 0);
            }
        }
        if KEEP && hits.len() > 0 {
            self.hand_on(home, &mut hits, visitor);
        }
        hits.len()
    }

    /// Gives the visitor what was found so far.
    #[inline(always)]
    fn hand_on<V: BlockVisitor>(&self, home: &Home, hits: &mut Hits, visitor: &mut V) {
        hits.pad();
        visitor.visit(&Block {
            grid: self,
            home,
            hits,
        });
        hits.clear();
    }

    /// First and last column along `k` that the sphere around a place can touch.
    #[inline(always)]
    fn columns_around(&self, k: usize, place: f64) -> (i64, i64) {
        let reach = self.cutoff / self.rows.widths[k] + SLACK;
        let (low, high) = (
            (place - reach - 1.0).ceil() as i64,
            (place + reach).floor() as i64,
        );
        if self.periodic[k] {
            (low, high)
        } else {
            (low.max(0), high.min(self.n_columns[k] - 1))
        }
    }
}

/// The label of a site and a lattice translation.
fn label(site: usize, shift: impl Fn(usize) -> i32) -> Label {
    [shift(0), shift(1), shift(2), site as i32]
}

/// A site moved into the cell of the basis where it is periodic; its place is in units of the
/// basis, its slot not yet known.
fn wrapped(crystal: &Crystal<'_>, basis: &Lattice, steps: &[[i32; 3]; 3], frac: &Vec3) -> Home {
    let mut frac = *frac;
    let mut wrap = [0; 4];
    for k in (0..3).filter(|&k| crystal.pbc[k]) {
        let floor = frac[k].floor();
        frac[k] -= floor;
        wrap[k] = floor as i32;
    }
    let mut coords = crystal.lattice.to_cart(&frac);
    let mut place = basis.to_frac(&coords);
    for k in (0..3).filter(|&k| crystal.pbc[k]) {
        let floor = place[k].floor();
        if floor != 0.0 {
            place[k] -= floor;
            for l in 0..3 {
                coords[l] -= floor * basis.rows()[k][l];
                wrap[l] += floor as i32 * steps[k][l];
            }
        }
    }
    Home {
        coords,
        place,
        wrap,
        slot: 0,
    }
}
