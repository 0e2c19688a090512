//! Tags of CIF that a reader of blocks looks for, whoever reads them.

/// Single values, in the order in which a block hands them on: the cell first.
pub const VALUES: [&str; 9] = [
    "_cell_length_a",
    "_cell_length_b",
    "_cell_length_c",
    "_cell_angle_alpha",
    "_cell_angle_beta",
    "_cell_angle_gamma",
    "_cell_volume",
    "_cell_formula_units_Z",
    "_chemical_formula_sum",
];

/// First coordinate of a site; the first of these that is there says where the sites are.
pub const COORDINATES: [&str; 2] = ["_atom_site_fract_x", "_atom_site_Cartn_x"];

/// Symmetry operators; the first of these that is there counts.
pub const OPERATORS: [&str; 2] = [
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
];
