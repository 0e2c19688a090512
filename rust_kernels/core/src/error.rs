//! Errors: one enum for a batch that is malformed, one for a crystal that a kernel can't treat.

/// The arrays of a batch contradict each other: the caller's mistake, the whole call fails.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// An array does not have the length that another array implies.
    #[error("{array} has length {found}, expected {expected}")]
    Length {
        /// Name of the array, as in the Python API.
        array: &'static str,
        /// Length that was passed.
        found: usize,
        /// Length that the rest of the batch implies.
        expected: usize,
    },
    /// Offsets do not start at zero, decrease, or do not end at the length of what they index.
    #[error("{array} is not a valid offset array at position {position}")]
    Offsets {
        /// Name of the array, as in the Python API.
        array: &'static str,
        /// First position where the array is wrong.
        position: usize,
    },
    /// An atomic number outside 1..=118.
    #[error("atomic_numbers[{species}] = {found} is not an element")]
    AtomicNumber {
        /// Index of the species entry.
        species: usize,
        /// Value that was passed.
        found: u8,
    },
    /// A parameter of the call has a value that makes no sense.
    #[error("{parameter} = {found}: {expected}")]
    Parameter {
        /// Name of the parameter, as in the Python API.
        parameter: &'static str,
        /// Value that was passed.
        found: f64,
        /// What is allowed.
        expected: &'static str,
    },
}

/// A kernel can't treat this crystal; its batch goes on.
///
/// [`CrystalError::status`] is the number in the `status` array of every kernel's result, and
/// [`CrystalError::name`] the reason code in the ledger. 0 is kept for "ok". Numbers are stable:
/// they are written into users' files.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CrystalError {
    /// A lattice, coordinate or occupancy is NaN or infinite.
    #[error("{array} holds a value that is not finite (site {site})")]
    NotFinite {
        /// Name of the array, as in the Python API.
        array: &'static str,
        /// Site within the crystal (0 for the lattice).
        site: usize,
    },
    /// The lattice vectors do not span a volume.
    #[error("lattice volume {volume:.3e} A^3 is too small for edges of {edge:.3e} A")]
    SingularLattice {
        /// Volume in cubic angstrom.
        volume: f64,
        /// Longest edge in angstrom.
        edge: f64,
    },
    /// The crystal has no site.
    #[error("the crystal has no site")]
    NoSites,
    /// An element has no radius.
    #[error("no radius of {element} is known")]
    MissingRadius {
        /// Its symbol.
        element: &'static str,
    },
    /// The request would list more pairs than memory allows.
    #[error("about {pairs:.2e} pairs within {cutoff} A, more than {limit:.2e}")]
    TooManyPairs {
        /// Estimate from the number density.
        pairs: f64,
        /// Cutoff in angstrom.
        cutoff: f64,
        /// Limit on the number of pairs.
        limit: f64,
    },
    /// A species has no charge.
    #[error("oxidation states are not known (site {site}); assign them first")]
    MissingOxidationStates {
        /// First site within the crystal that lacks one.
        site: usize,
    },
    /// The crystal holds no two species of opposite charge.
    #[error("no two species have opposite charges")]
    NoIonPairs,
    /// No table has bond-valence parameters for a pair of ions.
    #[error("no bond-valence parameters for {cation}{charge}+ with {anion}")]
    MissingBondParameters {
        /// Symbol of the cation.
        cation: &'static str,
        /// Its charge.
        charge: u8,
        /// Symbol of the anion.
        anion: &'static str,
    },
    /// A site lies absurdly many cells away.
    #[error("fractional coordinate {value:.3e} is too far from the cell (site {site})")]
    CoordinateOutOfRange {
        /// Site within the crystal.
        site: usize,
        /// The coordinate.
        value: f64,
    },
    /// The kernel needs a crystal that is periodic in three dimensions.
    #[error("periodic along a, b, c: {pbc:?}, but the kernel needs all three")]
    NotPeriodic {
        /// Periodic directions.
        pbc: [bool; 3],
    },
    /// Two sites at one place that are not alternatives of one another.
    #[error("sites {site} and {other} are {distance:.2e} A apart, at one place")]
    CoincidentSites {
        /// Site within the crystal.
        site: usize,
        /// Its neighbour, within the crystal.
        other: usize,
        /// Distance in angstrom.
        distance: f64,
    },
    /// No charges of the elements sum to zero.
    #[error("no probable oxidation states are neutral within {tolerance:.2e} e")]
    NoNeutralAssignment {
        /// Net charge that would still have counted as neutral, in e.
        tolerance: f64,
    },
    /// No symmetry was found at any of the tolerances that were tried.
    #[error("no symmetry within {symprec} A: {reason}")]
    SymmetryFailed {
        /// Tolerance that was asked for, in angstrom.
        symprec: f64,
        /// What the search says at that tolerance.
        reason: String,
    },
    /// The splitting parameter that was given makes one of the sums too long.
    #[error(
        "about {terms:.2e} terms of the Ewald sum at alpha = {alpha:.3e} / A, more than {limit:.2e}"
    )]
    TooManyEwaldTerms {
        /// Estimate for both sums.
        terms: f64,
        /// Splitting parameter in 1/angstrom.
        alpha: f64,
        /// Limit on the number of terms.
        limit: f64,
    },
    /// The Voronoi cells do not fill the crystal.
    #[error(
        "the Voronoi cells sum to {sum:.9} A^3 in a crystal of {volume:.9} A^3; \
         are the sites of one asymmetric_index the same by symmetry?"
    )]
    VoronoiVolume {
        /// Sum of the cells in cubic angstrom.
        sum: f64,
        /// Volume of the crystal in cubic angstrom.
        volume: f64,
    },
    /// The faces of a Voronoi cell do not cover the sphere.
    #[error("the faces around site {site} take {sum:.9} sr, not 4 pi")]
    VoronoiSolidAngle {
        /// Site within the crystal.
        site: usize,
        /// Sum over the faces in steradian.
        sum: f64,
    },
    /// Rounding broke a Voronoi cell.
    #[error("the Voronoi cell of site {site} is too degenerate for double precision")]
    DegenerateCell {
        /// Site within the crystal.
        site: usize,
    },
}

impl CrystalError {
    /// Every status number with its reason code, 0 = ok first.
    pub const STATUS: &'static [(i32, &'static str)] = &[
        (0, "ok"),
        (1, "not_finite"),
        (2, "singular_lattice"),
        (3, "no_sites"),
        (4, "coordinate_out_of_range"),
        (5, "not_periodic"),
        (6, "coincident_sites"),
        (7, "missing_oxidation_states"),
        (8, "missing_radius"),
        (10, "too_many_pairs"),
        (20, "no_neutral_assignment"),
        (31, "no_ion_pairs"),
        (32, "missing_bond_parameters"),
        (43, "too_many_ewald_terms"),
        (52, "voronoi_volume"),
        (53, "voronoi_solid_angle"),
        (54, "degenerate_cell"),
        (60, "symmetry_failed"),
    ];

    /// The number in a result's `status` array.
    pub fn status(&self) -> i32 {
        match self {
            Self::NotFinite { .. } => 1,
            Self::SingularLattice { .. } => 2,
            Self::NoSites => 3,
            Self::TooManyPairs { .. } => 10,
            Self::MissingOxidationStates { .. } => 7,
            Self::MissingRadius { .. } => 8,
            Self::NoNeutralAssignment { .. } => 20,
            Self::NoIonPairs => 31,
            Self::MissingBondParameters { .. } => 32,
            Self::CoordinateOutOfRange { .. } => 4,
            Self::NotPeriodic { .. } => 5,
            Self::CoincidentSites { .. } => 6,
            Self::TooManyEwaldTerms { .. } => 43,
            Self::VoronoiVolume { .. } => 52,
            Self::VoronoiSolidAngle { .. } => 53,
            Self::DegenerateCell { .. } => 54,
            Self::SymmetryFailed { .. } => 60,
        }
    }
}
