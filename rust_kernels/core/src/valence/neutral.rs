//! The most probable choice of charges that sums to zero, by dynamic programming over the charge.

/// Charges are summed as whole multiples of this, in units of e.
const CHARGE_UNIT: f64 = 1e-6;

/// Beyond this many different sums of charge, neighbouring sums are merged into ever wider bins,
/// of which the two most probable choices are kept. Only crystals with very many partly filled
/// sites of several possible charges come near it.
const MAX_SUMS: usize = 1 << 14;

/// A charge that a variable can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Oxidation state.
    pub charge: i32,
    /// Logarithm of its probability.
    pub log_p: f64,
}

/// Atoms that share one unknown charge.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Atomic number: variables of one element are kept within a spread of charges.
    pub element: u8,
    /// Number of atoms, a fraction where sites are partly filled.
    pub atoms: f64,
    /// The charges it can take, by rising charge.
    pub choices: Vec<Choice>,
}

/// How the charges of one element on different sites go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// By how much they may differ.
    pub spread: i32,
    /// Logarithm of the probability of an element that is an anion of more than one charge, as in
    /// a sulfide that is also a disulfide.
    pub mixed_anion_log_p: f64,
}

/// One assignment of charges to all variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// (n_variables,) charges.
    pub charges: Vec<i32>,
    /// Sum of the logarithms of the probabilities.
    pub log_p: f64,
}

/// All sums of charge that the variables can reach, with the two most probable ways to each.
#[derive(Debug)]
pub struct Sums {
    entries: Vec<Entry>,
    nodes: Vec<Node>,
    n_variables: usize,
}

/// A way to reach a sum of charge.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Constraint that holds while the variables of one element are gone through.
    window: Window,
    /// Sum of charge in [`CHARGE_UNIT`].
    charge: i64,
    log_p: f64,
    /// Last choice made, an index into the nodes.
    node: u32,
    /// Charge of a choice that is not yet among the nodes: only those that are kept come there.
    pending: i32,
}

/// The charges of one element must lie in `low..=low + spread` and some must be `low`, so that each
/// assignment belongs to one window alone and the runner-up is never the best one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    low: i32,
    /// Some variable is at `low`.
    touched: bool,
    /// Some variable is above it.
    mixed: bool,
}

const OPEN: Window = Window {
    low: i32::MIN,
    touched: true,
    mixed: false,
};

impl Window {
    /// After one more variable of the element, none where its charge lies outside.
    fn choose(self, charge: i32, spread: i32) -> Option<Self> {
        let above = charge - self.low;
        (0..=spread).contains(&above).then_some(Self {
            low: self.low,
            touched: self.touched || above == 0,
            mixed: self.mixed || above > 0,
        })
    }

    /// Logarithm of the prior probability once all variables of the element are chosen.
    fn log_prior(self, rules: Rules) -> f64 {
        if self.mixed && self.low < 0 {
            rules.mixed_anion_log_p
        } else {
            0.0
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    charge: i32,
}

const ROOT: u32 = u32::MAX;

impl Sums {
    /// Goes through the variables; those of one element must follow each other. Sums that can't
    /// reach `target` (e) any more are dropped on the way.
    pub fn new(
        variables: &[Variable],
        target: std::ops::RangeInclusive<f64>,
        rules: Rules,
    ) -> Self {
        let target = (target.start() / CHARGE_UNIT, target.end() / CHARGE_UNIT);
        let rest = reach_of_rest(variables);
        let mut sums = Self {
            entries: vec![Entry {
                window: OPEN,
                charge: 0,
                log_p: 0.0,
                node: ROOT,
                pending: 0,
            }],
            nodes: Vec::new(),
            n_variables: variables.len(),
        };
        let mut next = Vec::new();
        let mut first = 0;
        for block in variables.chunk_by(|a, b| a.element == b.element) {
            let windows = windows(block, rules.spread);
            for (k, variable) in block.iter().enumerate() {
                let units = charge_units(variable.atoms);
                let (low, high) = rest[first + k];
                let may_end = |charge: i64| {
                    charge as f64 + high >= target.0 && charge as f64 + low <= target.1
                };
                let last = k + 1 == block.len();
                next.clear();
                for entry in &sums.entries {
                    let opened = if k == 0 {
                        windows.as_slice()
                    } else {
                        std::slice::from_ref(&entry.window)
                    };
                    for (window, choice) in opened
                        .iter()
                        .flat_map(|window| variable.choices.iter().map(move |c| (window, c)))
                    {
                        let step = units.saturating_mul(i64::from(choice.charge));
                        let charge = entry.charge.saturating_add(step);
                        let Some(window) = window.choose(choice.charge, rules.spread) else {
                            continue;
                        };
                        if !may_end(charge) || (last && !window.touched) {
                            continue;
                        }
                        let (window, prior) = if last {
                            (OPEN, window.log_prior(rules))
                        } else {
                            (window, 0.0)
                        };
                        next.push(Entry {
                            window,
                            charge,
                            log_p: entry.log_p + choice.log_p + prior,
                            node: entry.node,
                            pending: choice.charge,
                        });
                    }
                }
                keep_two_of_each(&mut next);
                for entry in &mut next {
                    sums.nodes.push(Node {
                        parent: entry.node,
                        charge: entry.pending,
                    });
                    entry.node = sums.nodes.len() as u32 - 1;
                }
                std::mem::swap(&mut sums.entries, &mut next);
            }
            first += block.len();
        }
        sums
    }

    /// Sum of charge (e) and log-probability of each way, two at most for each sum.
    pub fn iter(&self) -> impl Iterator<Item = (f64, f64)> {
        self.entries
            .iter()
            .map(|entry| (entry.charge as f64 * CHARGE_UNIT, entry.log_p))
    }

    /// The choices that make up the `k`-th item of [`Sums::iter`].
    pub fn assignment(&self, k: usize) -> Assignment {
        let entry = self.entries[k];
        let mut charges = Vec::with_capacity(self.n_variables);
        let mut node = entry.node;
        while let Some(choice) = self.nodes.get(node as usize) {
            charges.push(choice.charge);
            node = choice.parent;
        }
        charges.reverse();
        Assignment {
            charges,
            log_p: entry.log_p,
        }
    }
}

/// The most probable assignment whose charges sum to `-fixed_charge` within `tolerance` (e), and
/// the log-probability by which it leads the next one, infinite where there is no other.
pub fn most_probable(
    variables: &[Variable],
    fixed_charge: f64,
    tolerance: f64,
    rules: Rules,
) -> Option<(Assignment, f64)> {
    // Sums are rounded to whole units once per variable, for charges of up to 10 e.
    let tolerance = tolerance + (5.0 * variables.len() as f64 + 1.0) * CHARGE_UNIT;
    let target = -fixed_charge - tolerance..=-fixed_charge + tolerance;
    let sums = Sums::new(variables, target.clone(), rules);
    let ways: Vec<f64> = sums
        .iter()
        .map(|(charge, log_p)| {
            if target.contains(&charge) {
                log_p
            } else {
                f64::NEG_INFINITY
            }
        })
        .collect();
    let (best, margin) = best_and_margin(&ways)?;
    Some((sums.assignment(best), margin))
}

/// Position of the largest finite value and its lead over the next one.
pub fn best_and_margin(log_p: &[f64]) -> Option<(usize, f64)> {
    let mut best = None;
    let mut runner_up = f64::NEG_INFINITY;
    let mut highest = f64::NEG_INFINITY;
    for (k, &value) in log_p.iter().enumerate() {
        if value > highest {
            runner_up = highest;
            highest = value;
            best = Some(k);
        } else if value > runner_up {
            runner_up = value;
        }
    }
    best.map(|k| (k, highest - runner_up))
}

/// Charge of so many atoms of charge one; the cast saturates for absurd occupancies.
fn charge_units(atoms: f64) -> i64 {
    (atoms / CHARGE_UNIT).round() as i64
}

/// Least and most charge, in [`CHARGE_UNIT`], that the variables after each one can add.
fn reach_of_rest(variables: &[Variable]) -> Vec<(f64, f64)> {
    let mut rest = vec![(0.0, 0.0); variables.len()];
    for k in (1..variables.len()).rev() {
        let units = charge_units(variables[k].atoms) as f64;
        let charges = || variables[k].choices.iter().map(|c| f64::from(c.charge));
        let low = charges().fold(f64::INFINITY, f64::min);
        let high = charges().fold(f64::NEG_INFINITY, f64::max);
        rest[k - 1] = (rest[k].0 + units * low, rest[k].1 + units * high);
    }
    rest
}

/// Windows in which every variable of an element has a choice.
fn windows(block: &[Variable], spread: i32) -> Vec<Window> {
    let mut lows: Vec<i32> = block
        .iter()
        .flat_map(|variable| variable.choices.iter().map(|choice| choice.charge))
        .collect();
    lows.sort_unstable();
    lows.dedup();
    let fits = |low: i32| {
        block.iter().all(|variable| {
            let mut choices = variable.choices.iter();
            choices.any(|choice| choice.charge >= low && choice.charge - low <= spread)
        })
    };
    lows.retain(|low| fits(*low));
    let (touched, mixed) = (false, false);
    lows.into_iter()
        .map(|low| Window {
            low,
            touched,
            mixed,
        })
        .collect()
}

/// Sorts the ways by window and sum and keeps the two most probable of each.
fn keep_two_of_each(entries: &mut Vec<Entry>) {
    let mut width = 1;
    loop {
        let key = |entry: &Entry| (entry.window, entry.charge.div_euclid(width));
        entries.sort_unstable_by(|a, b| {
            let by_key = key(a).cmp(&key(b));
            let by_probability = b.log_p.total_cmp(&a.log_p);
            by_key
                .then(by_probability)
                .then(a.node.cmp(&b.node))
                .then(a.pending.cmp(&b.pending))
        });
        let mut kept = 0;
        let mut run = 0;
        for k in 0..entries.len() {
            run = if kept > 0 && key(&entries[kept - 1]) == key(&entries[k]) {
                run + 1
            } else {
                0
            };
            if run < 2 {
                entries[kept] = entries[k];
                kept += 1;
            }
        }
        entries.truncate(kept);
        if kept <= 2 * MAX_SUMS {
            return;
        }
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        spread: 1,
        mixed_anion_log_p: -1.5,
    };

    /// Small generator of reproducible numbers (xorshift64*).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
        }

        fn variables(&mut self, fractional: bool) -> Vec<Variable> {
            let n = 2 + self.below(5);
            let mut variables: Vec<Variable> = (0..n)
                .map(|_| {
                    let mut charges: Vec<i32> = (0..1 + self.below(3))
                        .map(|_| self.below(8) as i32 - 3)
                        .collect();
                    charges.sort_unstable();
                    charges.dedup();
                    Variable {
                        element: self.below(3) as u8,
                        atoms: (1 + self.below(6)) as f64 * if fractional { 0.125 } else { 1.0 },
                        choices: charges
                            .into_iter()
                            .map(|charge| Choice {
                                charge,
                                log_p: -(self.below(1_000_000) as f64) * 1e-5,
                            })
                            .collect(),
                    }
                })
                .collect();
            variables.sort_by_key(|variable| variable.element);
            variables
        }
    }

    /// Every assignment that obeys the rules, by trying them all.
    fn all_assignments(variables: &[Variable], rules: Rules) -> Vec<(f64, f64, Vec<i32>)> {
        let mut all = vec![(0.0, 0.0, Vec::new())];
        for variable in variables {
            all = all
                .iter()
                .flat_map(|(charge, log_p, charges)| {
                    variable.choices.iter().map(move |choice| {
                        let mut charges: Vec<i32> = charges.clone();
                        charges.push(choice.charge);
                        let charge = charge + variable.atoms * f64::from(choice.charge);
                        (charge, log_p + choice.log_p, charges)
                    })
                })
                .collect();
        }
        for element in 0..=u8::MAX {
            all.retain_mut(|(_, log_p, charges)| {
                let of_element = variables.iter().zip(charges.iter());
                let of_element = of_element.filter(|(v, _)| v.element == element);
                let low = of_element.clone().map(|(_, q)| *q).min();
                let high = of_element.map(|(_, q)| *q).max();
                let (Some(low), Some(high)) = (low, high) else {
                    return true;
                };
                if low < 0 && high > low {
                    *log_p += rules.mixed_anion_log_p;
                }
                high - low <= rules.spread
            });
        }
        all
    }

    #[test]
    fn optimum_and_margin_are_those_of_exhaustive_search() {
        let mut random = Random(20_261_121);
        let (mut solved, mut with_runner_up) = (0, 0);
        for case in 0..600 {
            let variables = random.variables(case % 2 == 1);
            let tolerance = [0.0, 0.3, 1.0][case % 3];
            let fixed = [0.0, 2.0, -1.0][case / 3 % 3];
            let rules = Rules {
                spread: [1, 2, i32::MAX][case / 9 % 3],
                ..RULES
            };
            let mut neutral = all_assignments(&variables, rules);
            neutral.retain(|(charge, _, _)| (charge + fixed).abs() <= tolerance + 1e-9);
            neutral.sort_by(|a, b| b.1.total_cmp(&a.1));
            let found = most_probable(&variables, fixed, tolerance, rules);
            assert_eq!(found.is_some(), !neutral.is_empty(), "case {case}");
            let Some((best, margin)) = found else {
                continue;
            };
            solved += 1;
            assert!((best.log_p - neutral[0].1).abs() < 1e-9, "case {case}");
            if let Some(runner_up) = neutral.get(1) {
                with_runner_up += 1;
                assert!(
                    (margin - (neutral[0].1 - runner_up.1)).abs() < 1e-9,
                    "case {case}"
                );
                if margin > 1e-6 {
                    assert_eq!(best.charges, neutral[0].2, "case {case}");
                }
            } else {
                assert_eq!(margin, f64::INFINITY, "case {case}");
            }
        }
        assert!(
            solved > 100 && with_runner_up > 50,
            "{solved}, {with_runner_up}"
        );
    }

    #[test]
    fn many_sums_are_merged_without_losing_neutrality() {
        // 40 variables of 3 charges and incommensurate weights reach 3^40 different sums.
        let variables: Vec<Variable> = (0..40)
            .map(|k| Variable {
                element: k / 4,
                atoms: 1.0 + (f64::from(k) * 0.754_877).fract(),
                choices: (-1..=1)
                    .map(|charge| Choice {
                        charge,
                        log_p: -f64::from((charge - i32::from(k) % 3 + 1).abs()),
                    })
                    .collect(),
            })
            .collect();
        let (best, margin) = most_probable(&variables, 0.0, 0.05, RULES).unwrap();
        let net = best.charges.iter().zip(&variables);
        let net: f64 = net.map(|(q, v)| f64::from(*q) * v.atoms).sum();
        assert!(net.abs() <= 0.051 && margin >= 0.0);
    }
}
