//! What can't be seen from Python: rules on single values are tested beside them.

use super::*;

const LIMITS: Limits = Limits {
    max_sites: 1000,
    min_cell_edge: 0.5,
    max_cell_edge: 1e4,
};

fn cubic<'a>(operators: &[&'a str], rows: &[[&'a str; 5]]) -> Block<'a> {
    Block {
        cell: ["5", "5", "5", "90", "90", "90"],
        operators: operators.to_vec(),
        site_tags: vec![
            "_atom_site_label",
            "_atom_site_fract_x",
            "_ATOM_SITE_FRACT_Y",
            "_atom_site_fract_z",
            "_atom_site_occupancy",
        ],
        site_values: rows.iter().flatten().copied().collect(),
        ..Block::default()
    }
}

#[test]
fn special_position_becomes_exact() {
    let operators = ["x,y,z", "-x,-y,z", "-x,y,-z", "x,-y,-z"];
    let block = cubic(&operators, &[["Li1", "0.50003", "0.00004", "0.99998", "."]]);
    let cell = expand(&block, &LIMITS).cell.unwrap();
    assert_eq!(cell.frac_coords, [[0.5, 0.0, 0.0]]);
}

#[test]
fn sites_are_bounded_before_the_work() {
    let operators = vec!["x,y,z"; 100_000];
    let rows = vec![["Li1", "0", "0", "0", "0.0001"]; 10_000];
    let expanded = expand(&cubic(&operators, &rows), &LIMITS);
    assert!(expanded.cell.is_none());
    assert!(matches!(
        expanded.findings[..],
        [Finding::TooManySites { limit: 1000, .. }]
    ));
}

#[test]
fn without_columns_there_is_no_site() {
    let block = Block {
        site_tags: vec![],
        ..cubic(&[], &[["Li1", "0", "0", "0", "1"]])
    };
    assert_eq!(expand(&block, &LIMITS).findings, [Finding::NoSites]);
}

#[test]
fn a_row_cut_short_is_left_out() {
    let mut block = cubic(
        &[],
        &[
            ["Li1", "0", "0", "0", "1"],
            ["O1", "0.5", "0.5", "0.5", "1"],
        ],
    );
    block.site_values.truncate(7);
    let cell = expand(&block, &LIMITS).cell.unwrap();
    assert_eq!(cell.atomic_numbers, [3]);
}
