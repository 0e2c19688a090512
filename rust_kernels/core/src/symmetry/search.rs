//! Symmetry operations of a crystal whose positions match them cleanly.
//!
//! The criteria are those of moyo (and so of spglib, A. Togo, K. Shinohara, I. Tanaka, Sci. Technol.
//! Adv. Mater. Meth. 4, 2384822 (2024), doi:10.1080/27660400.2024.2384822): operations of the
//! lattice are laid on the rarest species, sites are matched within twice the tolerance, the
//! translation that fits best must bring every site within the tolerance of its image, and what is
//! left must be a group. Wherever it is not, there is no answer here, and moyo looks for a tolerance
//! at which it is one.

use moyo::math::HNF;
use nalgebra::{Dyn, Matrix3, OMatrix, U3, Vector3};

use super::rotations::{PointGroup, Rotation, determinant, product, rotate};
use super::sites::{ReducedCell, SiteGrid, wrap};
use crate::lattice::{Lattice, Mat3, Vec3, dot, norm, sub};

/// Operations of a crystal in the reduced basis of its primitive cell, which is right-handed.
pub struct SpaceGroup {
    /// Rotation of each operation, in ascending order of their codes.
    pub rotations: Vec<Rotation>,
    /// Translation that follows it, in fractional coordinates.
    pub translations: Vec<Vec3>,
    /// The rotations as a group.
    pub point_group: PointGroup,
    /// Volume of the primitive cell in cubic angstrom.
    pub volume: f64,
    /// How far each operation brings any site or lattice vector off its image, in angstrom.
    deviations: Vec<f64>,
    /// Row by row for each operation, the site on which each site of the primitive cell comes.
    permutations: Vec<u32>,
    /// Site of the primitive cell of each site.
    primitive_sites: Vec<usize>,
    /// How far translations of the primitive lattice bring any site off its image, in angstrom.
    translation_deviation: f64,
}

impl SpaceGroup {
    /// Finds the operations within `symprec` (angstrom) and `angle_tolerance` (radian; by default
    /// what `symprec` implies). None where what is found is no group.
    pub fn search(
        lattice: &Lattice,
        frac_coords: &[Vec3],
        labels: Vec<i32>,
        symprec: f64,
        angle_tolerance: Option<f64>,
    ) -> Option<Self> {
        let cell = reduced(*lattice.rows(), frac_coords.to_vec(), labels)?;
        let primitive = Primitive::of(cell, symprec)?;
        let cell = &primitive.cell;
        let lattice = Lattice::new(&cell.basis).ok()?;
        let mut matching = Matching::new(cell, &lattice, symprec)?;
        let mut rotations = Vec::new();
        let mut translations = Vec::new();
        let mut deviations = Vec::new();
        let mut permutations = Vec::new();
        for rotation in lattice_rotations(&cell.basis, symprec, angle_tolerance)? {
            let rotated: Vec<Vec3> = cell
                .positions
                .iter()
                .map(|x| rotate(&rotation, x))
                .collect();
            let off_lattice = lattice_deviation(&cell.metric, &rotation);
            for k in 0..matching.pivots.len() {
                if let Some((translation, deviation)) = matching.onto(k, &rotated) {
                    rotations.push(rotation);
                    translations.push(translation);
                    deviations.push(deviation.max(off_lattice));
                    permutations.extend(&matching.images);
                }
            }
        }
        let found = Self {
            point_group: PointGroup::new(&rotations)?,
            rotations,
            translations,
            volume: lattice.volume(),
            deviations,
            permutations,
            primitive_sites: primitive.sites,
            translation_deviation: primitive.deviation,
        };
        found.is_closed(cell, symprec).then_some(found)
    }

    /// Whether products of operations are operations, to twice the tolerance.
    ///
    /// Where each brings sites within a quarter of the tolerance of their images, a product is off
    /// the operation of the same rotation by three quarters at most, or else by a translation that
    /// the primitive cell would have.
    fn is_closed(&self, cell: &ReducedCell, symprec: f64) -> bool {
        if self.deviations.iter().all(|&off| off < 0.25 * symprec) {
            return true;
        }
        let tolerance = 2.0 * symprec;
        let operations = || self.rotations.iter().zip(&self.translations);
        operations().all(|(rotation, translation)| {
            operations().all(|(first, first_translation)| {
                let made = product(rotation, first);
                let moved = rotate(rotation, first_translation);
                self.point_group.position(&made).is_some_and(|k| {
                    let known = &self.translations[k];
                    let off = std::array::from_fn(|i| moved[i] + translation[i] - known[i]);
                    cell.squared_length(&wrap(off)) <= tolerance * tolerance
                })
            })
        })
    }

    /// For each site the first one of its orbit.
    pub fn orbits(&self) -> Vec<usize> {
        self.orbits_under(0..self.rotations.len())
    }

    /// For each site the first one of its orbit under those operations that bring all sites and
    /// lattice vectors within `tolerance` (angstrom) of their images. Where these are no group, the
    /// tolerance is halved until they are.
    pub fn orbits_within(&self, tolerance: f64) -> Vec<usize> {
        let mut tolerance = tolerance - self.translation_deviation;
        while tolerance > 0.0 {
            let exact: Vec<usize> = (0..self.rotations.len())
                .filter(|&k| self.deviations[k] <= tolerance)
                .collect();
            let rotations: Vec<Rotation> = exact.iter().map(|&k| self.rotations[k]).collect();
            if exact.len() == self.rotations.len() || PointGroup::new(&rotations).is_some() {
                return self.orbits_under(exact.into_iter());
            }
            tolerance *= 0.5;
        }
        (0..self.primitive_sites.len()).collect()
    }

    fn orbits_under(&self, operations: impl Iterator<Item = usize>) -> Vec<usize> {
        let n = self.permutations.len() / self.rotations.len();
        let mut orbits = Partition::new(n);
        for operation in operations {
            for (site, &image) in self.permutations[operation * n..][..n].iter().enumerate() {
                orbits.join(site, image as usize);
            }
        }
        let mut first = vec![usize::MAX; n];
        let sites = self.primitive_sites.iter().enumerate();
        sites
            .map(|(site, &primitive)| {
                let first = &mut first[orbits.find(primitive)];
                *first = site.min(*first);
                *first
            })
            .collect()
    }
}

/// A primitive cell with a reduced basis.
struct Primitive {
    cell: ReducedCell,
    /// Site of the primitive cell of each site.
    sites: Vec<usize>,
    /// How far its translations bring any site off its image, in angstrom.
    deviation: f64,
}

impl Primitive {
    /// Finds the translations that map a crystal onto itself. Each site of the primitive cell is
    /// the mean of those that it stands for.
    fn of(cell: ReducedCell, symprec: f64) -> Option<Self> {
        let n = cell.positions.len();
        let lattice = Lattice::new(&cell.basis).ok()?;
        let mut matching = Matching::new(&cell, &lattice, symprec)?;
        if matching.pivots.len() == 1 {
            return Some(Self {
                sites: (0..n).collect(),
                deviation: 0.0,
                cell,
            });
        }
        let mut translations = Vec::new();
        let mut farthest = 0.0_f64;
        let mut orbits = Partition::new(n);
        let mut shifts = vec![[0.0; 3]; n];
        for k in 0..matching.pivots.len() {
            let Some((translation, deviation)) = matching.onto(k, &cell.positions) else {
                continue;
            };
            for (site, &image) in matching.images.iter().enumerate() {
                let image = image as usize;
                orbits.join(site, image);
                let (from, to) = (&cell.positions[site], &cell.positions[image]);
                let off = wrap(std::array::from_fn(|i| from[i] + translation[i] - to[i]));
                shifts[image] = std::array::from_fn(|i| shifts[image][i] + off[i]);
            }
            farthest = farthest.max(deviation);
            translations.push(translation);
        }
        drop(matching);
        if translations.len() == 1 {
            return Some(Self {
                sites: (0..n).collect(),
                deviation: 0.0,
                cell,
            });
        }
        let (sites, representatives) = orbits.numbered();
        let mut sizes = vec![0; representatives.len()];
        for &site in &sites {
            sizes[site] += 1;
        }
        if sizes.iter().any(|&size| size != translations.len()) {
            return None;
        }
        let (basis, to_primitive) = primitive_basis(&cell.basis, &translations)?;
        let share = 1.0 / translations.len() as f64;
        let positions = representatives.iter().map(|&site| {
            let (x, shift) = (&cell.positions[site], &shifts[site]);
            let mean = std::array::from_fn(|i| x[i] + share * shift[i]);
            to_primitive.map(|row| dot(&row, &mean))
        });
        let labels = representatives.iter().map(|&site| cell.labels[site]);
        Some(Self {
            cell: reduced(basis, positions.collect(), labels.collect())?,
            sites,
            deviation: farthest,
        })
    }
}

/// Matches rotated sites with the sites of a cell.
struct Matching<'a> {
    cell: &'a ReducedCell,
    grid: SiteGrid<'a>,
    symprec: f64,
    /// Sites of the rarest species, the first of which is laid on each of them.
    pivots: Vec<usize>,
    /// Site on which each site came.
    images: Vec<u32>,
    /// Number of the last attempt in which a site was an image.
    taken: Vec<u32>,
    attempt: u32,
}

impl<'a> Matching<'a> {
    /// None where the tolerance is too large for the cell.
    fn new(cell: &'a ReducedCell, lattice: &Lattice, symprec: f64) -> Option<Self> {
        let reach = 2.0 * symprec;
        let spacings = lattice.plane_spacings();
        let shortest = cell.basis.iter().map(norm).fold(f64::INFINITY, f64::min);
        if reach > 0.5 * shortest || spacings.iter().any(|spacing| reach > 0.25 * spacing) {
            return None;
        }
        let mut labels = cell.labels.clone();
        labels.sort_unstable();
        let rarest = labels
            .chunk_by(|a, b| a == b)
            .min_by_key(|same| same.len())?[0];
        let n = cell.positions.len();
        Some(Self {
            grid: SiteGrid::new(cell, &spacings, reach),
            cell,
            symprec,
            pivots: (0..n).filter(|&site| cell.labels[site] == rarest).collect(),
            images: Vec::with_capacity(n),
            taken: vec![0; n],
            attempt: 0,
        })
    }

    /// Lays the first pivot on the `k`-th. Where all sites match, the translation that fits best
    /// and the largest distance of a site from its image, if that is within the tolerance.
    fn onto(&mut self, k: usize, rotated: &[Vec3]) -> Option<(Vec3, f64)> {
        let cell = self.cell;
        let rough = sub(&cell.positions[self.pivots[k]], &rotated[self.pivots[0]]);
        self.attempt += 1;
        self.images.clear();
        for (site, x) in rotated.iter().enumerate() {
            let moved = std::array::from_fn(|i| x[i] + rough[i]);
            let image = self.grid.nearest(&moved)?;
            if cell.labels[image] != cell.labels[site] || self.taken[image] == self.attempt {
                return None;
            }
            self.taken[image] = self.attempt;
            self.images.push(image as u32);
        }
        let off = |site: usize, translation: &Vec3| -> Vec3 {
            let (x, image) = (&rotated[site], &cell.positions[self.images[site] as usize]);
            wrap(std::array::from_fn(|i| image[i] - x[i] - translation[i]))
        };
        let n = rotated.len();
        let mut sum = [0.0; 3];
        for site in 0..n {
            let off = off(site, &rough);
            sum = std::array::from_fn(|i| sum[i] + off[i]);
        }
        let translation = std::array::from_fn(|i| rough[i] + sum[i] / n as f64);
        let farthest = (0..n)
            .map(|site| cell.squared_length(&off(site, &translation)))
            .fold(0.0, f64::max)
            .sqrt();
        (farthest < self.symprec).then_some((translation, farthest))
    }
}

/// The same crystal in a Minkowski-reduced, right-handed basis.
fn reduced(rows: Mat3, mut positions: Vec<Vec3>, labels: Vec<i32>) -> Option<ReducedCell> {
    let (reduced, change) = moyo::base::Lattice::from_basis(rows)
        .minkowski_reduce()
        .ok()?;
    if change != Matrix3::identity() {
        let inverse = change.map(f64::from).try_inverse()?.map(f64::round);
        for x in &mut positions {
            *x = (inverse * Vector3::from(*x)).into();
        }
    }
    let basis: Mat3 = std::array::from_fn(|i| reduced.basis.column(i).into_owned().into());
    Some(ReducedCell {
        metric: basis.map(|a| basis.map(|b| dot(&a, &b))),
        basis,
        positions,
        labels,
    })
}

/// Basis of the lattice that translations (fractional, all of them) make finer, and the matrix that
/// takes fractional coordinates into it.
fn primitive_basis(basis: &Mat3, translations: &[Vec3]) -> Option<(Mat3, Mat3)> {
    let size = i32::try_from(translations.len()).ok()?;
    let steps = f64::from(size);
    let mut columns: Vec<Vector3<i32>> = (0..3)
        .map(|i| Vector3::from_fn(|row, _| if row == i { size } else { 0 }))
        .collect();
    columns.extend(
        translations
            .iter()
            .map(|t| Vector3::from(t.map(|x| (x * steps).round() as i32))),
    );
    let form = HNF::new(&OMatrix::<i32, U3, Dyn>::from_columns(&columns));
    let finer = Matrix3::from_fn(|i, j| f64::from(form.h[(i, j)]) / steps);
    let inverse = finer.try_inverse()?.map(f64::round);
    if (inverse.determinant() - steps).abs() > 1e-6 {
        return None;
    }
    let rows = std::array::from_fn(|j| {
        std::array::from_fn(|k| (0..3).map(|i| finer[(i, j)] * basis[i][k]).sum())
    });
    let inverse = std::array::from_fn(|i| std::array::from_fn(|j| inverse[(i, j)]));
    Some((rows, inverse))
}

/// Rotations that map a reduced lattice onto itself, within a length (angstrom) and an angle
/// (radian), in ascending order of their codes; None where they are no group.
fn lattice_rotations(
    basis: &Mat3,
    symprec: f64,
    angle_tolerance: Option<f64>,
) -> Option<Vec<Rotation>> {
    let lengths = basis.map(|row| norm(&row));
    let mut points: [Vec<([i8; 3], Vec3, f64)>; 3] = Default::default();
    for code in 0..27_i8 {
        let steps = [code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1];
        let point: Vec3 =
            std::array::from_fn(|k| (0..3).map(|i| f64::from(steps[i]) * basis[i][k]).sum());
        let length = norm(&point);
        for axis in 0..3 {
            if (length - lengths[axis]).abs() < symprec {
                points[axis].push((steps, point, length));
            }
        }
    }
    let is_angle = |i: usize, j: usize, u: &(_, Vec3, f64), v: &(_, Vec3, f64)| {
        let cosines = [
            dot(&basis[i], &basis[j]) / (lengths[i] * lengths[j]),
            dot(&u.1, &v.1) / (u.2 * v.2),
        ];
        let [known, found] = cosines.map(|x| x.clamp(-1.0, 1.0));
        let [sine, found_sine] = [known, found].map(|x| (1.0 - x * x).sqrt());
        let sine_off = found_sine * known - found * sine;
        match angle_tolerance {
            Some(most) => {
                let cosine_off = found * known + found_sine * sine;
                sine_off.atan2(cosine_off).abs() <= most
            }
            None => {
                let mean_lengths = 0.25 * (lengths[i] + u.2) * (lengths[j] + v.2);
                sine_off * sine_off * mean_lengths < symprec * symprec
            }
        }
    };
    let mut rotations: Vec<Rotation> = Vec::new();
    for a in &points[0] {
        for b in points[1].iter().filter(|b| is_angle(0, 1, a, b)) {
            for c in &points[2] {
                let columns = [a.0, b.0, c.0];
                let rotation = std::array::from_fn(|i| columns.map(|column| column[i]));
                if determinant(&rotation).abs() == 1 && is_angle(1, 2, b, c) && is_angle(2, 0, c, a)
                {
                    rotations.push(rotation);
                }
            }
        }
    }
    rotations.sort_unstable();
    PointGroup::new(&rotations).map(|_| rotations)
}

/// How far a rotation brings any lattice vector of the basis off its image, in angstrom: by how
/// much it strains the lattice, times the longest of them.
fn lattice_deviation(metric: &Mat3, rotation: &Rotation) -> f64 {
    let columns: [Vec3; 3] =
        std::array::from_fn(|j| std::array::from_fn(|i| f64::from(rotation[i][j])));
    let lengths: Vec3 = std::array::from_fn(|i| metric[i][i].sqrt());
    let mut strain = 0.0_f64;
    for i in 0..3 {
        let image = metric.map(|row| dot(&row, &columns[i]));
        for j in i..3 {
            let off = dot(&image, &columns[j]) - metric[i][j];
            strain = strain.max(off.abs() / (2.0 * lengths[i] * lengths[j]));
        }
    }
    strain * lengths.iter().copied().fold(0.0, f64::max)
}

/// Disjoint sets of sites.
struct Partition {
    parents: Vec<usize>,
}

impl Partition {
    fn new(n: usize) -> Self {
        Self {
            parents: (0..n).collect(),
        }
    }

    /// Least site of the set of a site.
    fn find(&mut self, mut site: usize) -> usize {
        while self.parents[site] != site {
            self.parents[site] = self.parents[self.parents[site]];
            site = self.parents[site];
        }
        site
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// Number of the set of each site, in order of their least sites, and these.
    fn numbered(&mut self) -> (Vec<usize>, Vec<usize>) {
        let mut numbers = vec![0; self.parents.len()];
        let mut firsts = Vec::new();
        for site in 0..numbers.len() {
            let first = self.find(site);
            if first == site {
                numbers[site] = firsts.len();
                firsts.push(site);
            } else {
                numbers[site] = numbers[first];
            }
        }
        (numbers, firsts)
    }
}
