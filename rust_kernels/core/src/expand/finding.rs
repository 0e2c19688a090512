//! What reading a crystal brought to light.

use crate::elements::SYMBOLS;

/// Something to say of a record: a reason why it has no crystal, or a doubt about the crystal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Finding {
    /// A cell length is not given.
    #[error("{tag} is missing")]
    MissingCell {
        /// Tag of the length.
        tag: &'static str,
    },
    /// An angle is not given; the CIF dictionary's default of 90 degrees was taken.
    #[error("{tag} is missing; 90 degrees taken, the default of the CIF dictionary")]
    CellAngleAssumed {
        /// Tag of the angle.
        tag: &'static str,
    },
    /// The angles do not close, or the cell is flat.
    #[error("no cell has angles {alpha}, {beta}, {gamma} degrees")]
    BadCell {
        /// Angle between b and c.
        alpha: f64,
        /// Angle between a and c.
        beta: f64,
        /// Angle between a and b.
        gamma: f64,
    },
    /// An edge, or the distance between lattice planes, is out of bounds.
    #[error("{what} is {found} A, allowed are {min} to {max} A")]
    CellEdge {
        /// Name of the length.
        what: &'static str,
        /// Its value.
        found: f64,
        /// Smallest that is allowed.
        min: f64,
        /// Largest that is allowed.
        max: f64,
    },
    /// A value that is needed is no number, or one that makes no sense.
    #[error("{tag} = {value} is not a number in its range{place}")]
    BadNumber {
        /// Tag of the value.
        tag: &'static str,
        /// The value as written, shortened.
        value: String,
        /// Where it stands, with a leading blank; empty for a single value.
        place: String,
    },
    /// A symmetry operator can't be read.
    #[error("symmetry operator {text:?} can't be read")]
    BadOperator {
        /// The operator as written, shortened.
        text: String,
    },
    /// The operators do not hold the identity, which was added.
    #[error("the {operators} symmetry operators lack the identity, which was added")]
    IdentityMissing {
        /// Number of operators.
        operators: usize,
    },
    /// An operator is no symmetry of the lattice.
    #[error("operator {text:?} is no symmetry of the lattice (off by {:.1} %)", 100.0 * deviation)]
    OperatorMismatch {
        /// The operator as written.
        text: String,
        /// Largest relative change of the metric tensor.
        deviation: f64,
    },
    /// A symbol names no element.
    #[error("{symbol:?} names no element{place}")]
    UnknownElement {
        /// Symbol or label as written, shortened.
        symbol: String,
        /// Where it stands.
        place: String,
    },
    /// A symbol names several atoms that can't be on one position.
    #[error("{symbol:?} names several atoms on one position{place}")]
    CompositeSite {
        /// Symbol as written, shortened.
        symbol: String,
        /// Where it stands.
        place: String,
    },
    /// Hydrogens of the crystal have no position.
    #[error("hydrogens have no position: {detail}")]
    ImplicitHydrogen {
        /// How that is known.
        detail: String,
    },
    /// Positions that are no atoms were left out.
    #[error("{count} dummy sites left out, first {first:?}")]
    DummySite {
        /// Number of rows.
        count: usize,
        /// Label of the first.
        first: String,
    },
    /// Atoms without coordinates were left out.
    #[error("{count} sites without coordinates left out, first {first:?}")]
    SiteWithoutCoordinates {
        /// Number of rows.
        count: usize,
        /// Label of the first.
        first: String,
    },
    /// A coordinate is `.`, which stands for the default of the CIF dictionary.
    #[error(
        "{count} sites with a coordinate '.' taken as 0, the default of the CIF dictionary, \
         first {first:?}"
    )]
    CoordinateAssumed {
        /// Number of rows.
        count: usize,
        /// Label of the first.
        first: String,
    },
    /// Atoms with a negative occupancy were left out.
    #[error("{count} sites with a negative occupancy left out, first {first:?}")]
    NegativeOccupancy {
        /// Number of rows.
        count: usize,
        /// Label of the first.
        first: String,
    },
    /// The position comes in cartesian coordinates whose frame is not told.
    #[error("cartesian coordinates: a along x and b in the xy plane assumed")]
    CartesianFrameAssumed,
    /// Nothing is left to make a crystal of.
    #[error("no atom with an element, coordinates and an occupancy above 0")]
    NoSites,
    /// Expansion would make more sites than the limit.
    #[error("more than {limit} sites ({rows} rows, {operators} operators)")]
    TooManySites {
        /// Limit on sites.
        limit: usize,
        /// Sites of the asymmetric unit.
        rows: usize,
        /// Symmetry operators.
        operators: usize,
    },
    /// A position is filled more than once.
    #[error("occupancies at site {site} sum to {sum:.4}; {}", if *quarantined { "too much to be rounding" } else { "scaled to 1" })]
    OccupancyAboveOne {
        /// Label of the first row on this position.
        site: String,
        /// Sum of the occupancies.
        sum: f64,
        /// Whether the sum is beyond repair.
        quarantined: bool,
    },
    /// The contents of the cell are not a multiple of the formula.
    #[error("cell holds {found}, expected {expected} ({rule})")]
    FormulaMismatch {
        /// Elements that differ, as found.
        found: String,
        /// The same elements as the formula has them.
        expected: String,
        /// How the expectation was made.
        rule: String,
    },
    /// A site has another number of images than the file says.
    #[error("site {site:?} has {found} images, declared are {declared}{}", and_more(*others))]
    MultiplicityMismatch {
        /// Label of the first such site.
        site: String,
        /// Images in the cell.
        found: usize,
        /// Number that the file declares.
        declared: f64,
        /// Further sites for which this is so.
        others: usize,
    },
    /// Two sites that are both filled are at almost one place.
    #[error(
        "{} and {} are {distance:.3} A apart, with occupancies that sum to {occupancy:.2}{}",
        symbol(elements.0), symbol(elements.1), and_more(*others)
    )]
    CloseSites {
        /// Elements of the closest pair.
        elements: (u8, u8),
        /// Its distance in angstrom.
        distance: f64,
        /// Sum of the occupancies of both sites.
        occupancy: f64,
        /// Further pairs for which this is so.
        others: usize,
    },
    /// The stated volume is not that of the cell.
    #[error("_cell_volume is {stated} A^3, the cell has {found:.3} A^3")]
    VolumeMismatch {
        /// Volume that the file states.
        stated: f64,
        /// Volume of the lattice.
        found: f64,
    },
}

impl Finding {
    /// Reason code in the ledger.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingCell { .. } => "missing_cell",
            Self::CellAngleAssumed { .. } => "cell_angle_assumed",
            Self::BadCell { .. } => "bad_cell",
            Self::CellEdge { .. } => "cell_edge",
            Self::BadNumber { .. } => "bad_number",
            Self::BadOperator { .. } => "bad_operator",
            Self::IdentityMissing { .. } => "identity_missing",
            Self::OperatorMismatch { .. } => "operator_mismatch",
            Self::UnknownElement { .. } => "unknown_element",
            Self::CompositeSite { .. } => "composite_site",
            Self::ImplicitHydrogen { .. } => "implicit_hydrogen",
            Self::DummySite { .. } => "dummy_site",
            Self::SiteWithoutCoordinates { .. } => "site_without_coordinates",
            Self::CoordinateAssumed { .. } => "coordinate_assumed",
            Self::NegativeOccupancy { .. } => "negative_occupancy",
            Self::CartesianFrameAssumed => "cartesian_frame_assumed",
            Self::NoSites => "no_sites",
            Self::TooManySites { .. } => "too_many_sites",
            Self::OccupancyAboveOne { .. } => "occupancy_above_one",
            Self::FormulaMismatch { .. } => "formula_mismatch",
            Self::MultiplicityMismatch { .. } => "multiplicity_mismatch",
            Self::CloseSites { .. } => "close_sites",
            Self::VolumeMismatch { .. } => "volume_mismatch",
        }
    }

    /// Whether there can be no crystal.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::MissingCell { .. }
            | Self::BadCell { .. }
            | Self::CellEdge { .. }
            | Self::BadNumber { .. }
            | Self::BadOperator { .. }
            | Self::UnknownElement { .. }
            | Self::CompositeSite { .. }
            | Self::NoSites
            | Self::TooManySites { .. } => true,
            Self::OccupancyAboveOne { quarantined, .. } => *quarantined,
            _ => false,
        }
    }

    /// Stage at which it was found.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::FormulaMismatch { .. }
            | Self::ImplicitHydrogen { .. }
            | Self::MultiplicityMismatch { .. }
            | Self::CloseSites { .. }
            | Self::VolumeMismatch { .. }
            | Self::OperatorMismatch { .. } => "check",
            Self::TooManySites { .. } | Self::OccupancyAboveOne { .. } => "expand",
            _ => "parse",
        }
    }
}

/// A value as written, short enough for one line.
pub fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// Symbol of an element.
pub fn symbol(z: u8) -> &'static str {
    let index = usize::from(z).wrapping_sub(1);
    SYMBOLS.get(index).copied().unwrap_or("?")
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    }
}
