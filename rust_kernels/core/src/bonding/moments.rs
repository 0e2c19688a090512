//! Weighted mean, spread and extremes, gathered value by value.

/// Statistics of weighted values, kept about their running mean (B. P. Welford, Technometrics 4, 419
/// (1962), doi 10.1080/00401706.1962.10490022): the spread of equal values is rounding of the
/// values, not of their squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    weight: f64,
    mean: f64,
    /// Weighted sum of squared deviations from the mean.
    squares: f64,
    least: f64,
    most: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            weight: 0.0,
            mean: 0.0,
            squares: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }
}

impl Moments {
    /// Takes a value; one without weight is none.
    #[inline]
    pub fn add(&mut self, value: f64, weight: f64) {
        if weight > 0.0 {
            self.weight += weight;
            let deviation = value - self.mean;
            self.mean += deviation * (weight / self.weight);
            self.squares += weight * deviation * (value - self.mean);
            self.least = self.least.min(value);
            self.most = self.most.max(value);
        }
    }

    /// Takes the values of another, their weights multiplied by `factor`.
    pub fn merge(&mut self, other: &Self, factor: f64) {
        let weight = factor * other.weight;
        if weight > 0.0 {
            let before = self.weight;
            self.weight += weight;
            let deviation = other.mean - self.mean;
            let share = weight / self.weight;
            self.mean += deviation * share;
            self.squares += factor * other.squares + before * share * deviation * deviation;
            self.least = self.least.min(other.least);
            self.most = self.most.max(other.most);
        }
    }

    /// Sum of the weights.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Mean, standard deviation (of the population), least and greatest value; NaN where there is no
    /// value, or one that is NaN.
    pub fn statistics(&self) -> [f64; 4] {
        if self.weight > 0.0 && !self.mean.is_nan() {
            let deviation = (self.squares / self.weight).max(0.0).sqrt();
            [self.mean, deviation, self.least, self.most]
        } else {
            [f64::NAN; 4]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [(f64, f64); 5] = [(3.0, 1.0), (7.5, 0.25), (-2.0, 0.5), (9.0, 0.0), (4.0, 2.0)];

    #[test]
    fn agrees_with_two_passes() {
        let mut moments = Moments::default();
        VALUES.iter().for_each(|(x, w)| moments.add(*x, *w));
        let weight: f64 = VALUES.iter().map(|(_, w)| w).sum();
        let mean = VALUES.iter().map(|(x, w)| w * x).sum::<f64>() / weight;
        let squares: f64 = VALUES.iter().map(|(x, w)| w * (x - mean).powi(2)).sum();
        let expected = [mean, (squares / weight).sqrt(), -2.0, 7.5];
        for (found, expected) in moments.statistics().into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14);
        }
        assert_eq!(moments.weight(), weight);
    }

    #[test]
    fn merging_is_adding_the_values_with_their_weights() {
        let (mut one, mut two, mut all) =
            (Moments::default(), Moments::default(), Moments::default());
        for (k, (x, w)) in VALUES.iter().enumerate() {
            if k < 2 {
                one.add(*x, *w);
                all.add(*x, *w);
            } else {
                two.add(*x, *w);
                all.add(*x, 3.0 * w);
            }
        }
        one.merge(&two, 3.0);
        one.merge(&Moments::default(), 1.0);
        for (found, expected) in one.statistics().into_iter().zip(all.statistics()) {
            assert!((found - expected).abs() < 1e-14);
        }
    }

    #[test]
    fn equal_values_have_no_spread() {
        let mut moments = Moments::default();
        for k in 1..100 {
            moments.add(109.471_220_634_490_69, 0.01 * f64::from(k));
        }
        assert!(moments.statistics()[1] < 1e-12);
    }

    #[test]
    fn nothing_and_not_a_number_have_no_statistics() {
        let mut moments = Moments::default();
        assert!(moments.statistics().iter().all(|x| x.is_nan()));
        moments.add(1.0, 1.0);
        moments.add(f64::NAN, 1.0);
        moments.add(2.0, 1.0);
        assert!(moments.statistics().iter().all(|x| x.is_nan()));
    }
}
