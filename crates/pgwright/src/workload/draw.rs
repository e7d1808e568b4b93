//! Where do all drawn numbers come from? A seeded generator whose results never change.
//!
//! Source: ChaCha8 as specified by `rand_chacha` (value-stable by promise); Box and Muller, "A Note
//! on the Generation of Random Normal Deviates", 1958. The distributions stand here and not in a
//! library because demo data and schedules have to stay the same from release to release: a figure
//! in a report is only comparable with one taken on the same rows and the same arrivals.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

/// A seeded source of drawn values. Two with the same seed and stream give the same values.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// A source of its own for each `stream` of one `seed`: what one table or one arrival draws
    /// does not shift what another draws.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number in [0, n); 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number in [low, high], both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low);
        let step = if span == u64::MAX { self.0.next_u64() } else { self.below(span + 1) };
        low.min(high).wrapping_add_unsigned(step)
    }

    /// A number in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A normally distributed number.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// An exponentially distributed number, the gaps of a Poisson process.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// One of the items; the caller passes at least one.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> Uuid {
        let mut bytes = [0u8; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// A choice among weighted items, by binary search in the running sums.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    sums: Vec<f64>,
}

impl Weights {
    /// Weights as given; negative and non-finite ones count as zero.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let sums = weights
            .into_iter()
            .map(|weight| {
                if weight.is_finite() && weight > 0.0 {
                    total += weight;
                }
                total
            })
            .collect();
        Self { sums }
    }

    /// Zipf's law over `n` items: the item of rank r (from 0) has weight (r + 1) to the power of
    /// minus `exponent`.
    pub fn zipf(n: usize, exponent: f64) -> Self {
        Self::new((1..=n).map(|rank| (rank as f64).powf(-exponent)))
    }

    /// The sum of all weights.
    pub fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// The position of a drawn item; the caller makes sure that one has a weight above zero.
    pub fn pick(&self, draw: &mut Draw) -> usize {
        let target = draw.unit() * self.total();
        self.sums.partition_point(|&sum| sum <= target).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_stream_give_the_same_values_and_another_stream_others() {
        let take = |seed, stream| {
            let mut draw = Draw::new(seed, stream);
            (0..8).map(|_| draw.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(take(7, 1), take(7, 1));
        assert_ne!(take(7, 1), take(7, 2));
        assert_ne!(take(7, 1), take(8, 1));
    }

    #[test]
    fn values_do_not_change_from_release_to_release() {
        let mut draw = Draw::new(42, 0);
        let numbers: Vec<u64> = (0..4).map(|_| draw.below(1000)).collect();
        assert_eq!(numbers, [681, 950, 427, 627]);
        assert_eq!(draw.uuid().to_string(), "b042b6bc-d849-4149-9e82-5da45bb46326");
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut draw = Draw::new(1, 1);
        let seen: std::collections::BTreeSet<i64> = (0..500).map(|_| draw.between(-2, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        draw.between(i64::MIN, i64::MAX);
        assert_eq!(draw.between(5, 5), 5);
    }

    #[test]
    fn weights_are_kept_and_a_zero_weight_is_never_drawn() {
        let weights = Weights::new([0.0, 3.0, 1.0, 0.0]);
        let mut draw = Draw::new(3, 0);
        let mut counts = [0u32; 4];
        for _ in 0..8000 {
            counts[weights.pick(&mut draw)] += 1;
        }
        assert_eq!((counts[0], counts[3]), (0, 0));
        assert!((5700..6300).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn exponential_gaps_have_the_mean_that_was_asked_for() {
        let mut draw = Draw::new(5, 0);
        let mean = (0..20_000).map(|_| draw.exponential(2.0)).sum::<f64>() / 20_000.0;
        assert!((1.9..2.1).contains(&mean), "{mean}");
    }
}
