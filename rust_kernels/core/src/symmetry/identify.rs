//! Numbers of space groups, each kind of group named by moyo once.
//!
//! Moved to a suitable origin, the translations of a group are multiples of 1/24. Generators with
//! such translations are the same for many crystals, so that their number is worth remembering.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use moyo::base::{Operation, Operations, Rotation as MoyoRotation, Translation};
use moyo::data::Setting;
use moyo::math::SNF;
use nalgebra::{Dyn, OMatrix, U3};

use super::rotations::{IDENTITY, Rotation, product, rotate};
use super::search::SpaceGroup;
use crate::lattice::Vec3;

/// Translations are multiples of one over this.
const STEPS: i32 = 24;

/// Part of moyo's own tolerance for translations that they may be off multiples, so that its answer
/// for the multiples is that for the crystal.
const CLOSE: f64 = 0.05;

/// And never more than this, in steps, so that it is plain which multiple is meant.
const PLAIN: f64 = 0.1;

/// Numbers by the rotations of the generators and their translations in steps. A group has finitely
/// many reduced bases, so that this stays small.
type Known = HashMap<Vec<Rotation>, Kind>;

static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// Groups whose generators have the same rotations.
struct Kind {
    origin: Origin,
    /// Numbers by translations in steps; none where moyo has none.
    numbers: HashMap<Vec<[i32; 3]>, Option<i32>>,
}

/// Number of the group of a crystal; none where its translations are not those of any group within
/// a small part of `symprec`.
pub fn number(group: &SpaceGroup, symprec: f64) -> Option<i32> {
    let generators = &group.point_group.generators;
    if generators.is_empty() {
        return Some(1);
    }
    let rotations: Vec<Rotation> = generators.iter().map(|&k| group.rotations[k]).collect();
    let translations: Vec<Vec3> = generators.iter().map(|&k| group.translations[k]).collect();
    let most = (CLOSE * symprec / group.volume.cbrt()).min(PLAIN / f64::from(STEPS));
    {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = known.as_ref().and_then(|known| known.get(&rotations)) {
            let steps = kind.origin.steps(&rotations, &translations, most)?;
            if let Some(&number) = kind.numbers.get(&steps) {
                return number;
            }
        }
    }
    let origin = Origin::new(&rotations);
    let steps = origin.steps(&rotations, &translations, most)?;
    let number = identify(&rotations, &steps, group.rotations.len());
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let kind = known.entry(rotations).or_insert_with(|| Kind {
        origin,
        numbers: HashMap::new(),
    });
    kind.numbers.insert(steps, number);
    number
}

/// The origin to which the translations of generators are moved.
///
/// A move by `s` adds `A s` to their translations `t`, where `A` stacks `W - 1` of all rotations
/// `W`. With the Smith normal form `D = L A R`, those rows of `L t` where `D` is not zero can be
/// moved to zero; the others tell the group, and with `t = inverse(L) (L t)` all is a multiple.
struct Origin {
    form: SNF<Dyn, U3>,
}

impl Origin {
    fn new(rotations: &[Rotation]) -> Self {
        let stacked = OMatrix::<i32, Dyn, U3>::from_fn(3 * rotations.len(), |row, j| {
            let (k, i) = (row / 3, row % 3);
            i32::from(rotations[k][i][j]) - i32::from(IDENTITY[i][j])
        });
        Self {
            form: SNF::new(&stacked),
        }
    }

    /// Translations from the new origin, in steps; none where one is off a multiple by more than
    /// `most`, in fractional coordinates.
    fn steps(
        &self,
        rotations: &[Rotation],
        translations: &[Vec3],
        most: f64,
    ) -> Option<Vec<[i32; 3]>> {
        let SNF { d, l, r } = &self.form;
        let values = translations.as_flattened();
        let mut along = [0.0; 3];
        for (i, along) in along.iter_mut().enumerate() {
            if d[(i, i)] != 0 {
                let moved: f64 = (0..values.len())
                    .map(|j| f64::from(l[(i, j)]) * values[j])
                    .sum();
                *along = -moved / f64::from(d[(i, i)]);
            }
        }
        let origin: Vec3 =
            std::array::from_fn(|i| (0..3).map(|j| f64::from(r[(i, j)]) * along[j]).sum());
        let mut steps = Vec::with_capacity(rotations.len());
        for (rotation, translation) in rotations.iter().zip(translations) {
            let image = rotate(rotation, &origin);
            let mut multiples = [0; 3];
            for i in 0..3 {
                let exact = f64::from(STEPS) * (translation[i] + image[i] - origin[i]);
                let multiple = exact.round();
                if (exact - multiple).abs() > most * f64::from(STEPS) {
                    return None;
                }
                multiples[i] = (multiple as i32).rem_euclid(STEPS);
            }
            steps.push(multiples);
        }
        Some(steps)
    }
}

/// What moyo calls the group that operations generate, if it has this many elements.
fn identify(rotations: &[Rotation], steps: &[[i32; 3]], order: usize) -> Option<i32> {
    let mut group = vec![(IDENTITY, [0; 3])];
    let mut done = 0;
    while done < group.len() && group.len() <= order {
        let (rotation, translation) = group[done];
        for (generator, shift) in rotations.iter().zip(steps) {
            let made = product(&rotation, generator);
            let moved: [i32; 3] = std::array::from_fn(|i| {
                let image: i32 = (0..3).map(|j| i32::from(rotation[i][j]) * shift[j]).sum();
                (translation[i] + image).rem_euclid(STEPS)
            });
            if !group.contains(&(made, moved)) {
                group.push((made, moved));
            }
        }
        done += 1;
    }
    if group.len() != order {
        return None;
    }
    let operations: Operations = group
        .iter()
        .map(|(rotation, steps)| {
            Operation::new(
                MoyoRotation::from_fn(|i, j| i32::from(rotation[i][j])),
                Translation::from(steps.map(|step| f64::from(step) / f64::from(STEPS))),
            )
        })
        .collect();
    let tolerance = PLAIN / f64::from(STEPS);
    let found = moyo::identify::SpaceGroup::new(&operations, Setting::Standard, tolerance);
    found.ok().map(|group| group.number)
}
