//! When does which statement arrive? Decided before the server is asked anything.
//!
//! Source: an open-loop generator, as Schroeder, Wierman and Harchol-Balter, "Open Versus Closed: A
//! Cautionary Tale", NSDI 2006. Clients do not wait for each other in real life: when the server is
//! slow, requests keep coming. The seed decides everything, so that two runs before and after a
//! change get the same requests at the same moments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::draw::{Draw, Weights};

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Independent clients: exponentially distributed gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Fixed,
}

/// A request that arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Counts from 0. What the request's parameters are depends on it alone.
    pub index: u64,
    /// After the start of the run.
    pub at: Duration,
    /// Position of the statement in the workload file.
    pub statement: usize,
}

/// An endless series of arrivals. It takes no memory however long the run is.
#[derive(Clone, Debug)]
pub struct Schedule {
    draw: Draw,
    weights: Weights,
    arrivals: Arrivals,
    gap: f64,
    seconds: f64,
    index: u64,
}

impl Schedule {
    /// Arrivals at `rate` per second of statements with the given weights.
    pub fn new(seed: u64, rate: f64, arrivals: Arrivals, weights: impl IntoIterator<Item = f64>) -> Self {
        Self {
            draw: Draw::new(seed, 0),
            weights: Weights::new(weights),
            arrivals,
            gap: 1.0 / rate,
            seconds: 0.0,
            index: 0,
        }
    }
}

/// The source of the parameters of one arrival.
pub fn parameter_draw(seed: u64, index: u64) -> Draw {
    Draw::new(seed, index + 1)
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let at = match self.arrivals {
            Arrivals::Poisson => {
                self.seconds += self.draw.exponential(self.gap);
                self.seconds
            }
            // Multiplied, not added up: no rounding error grows.
            Arrivals::Fixed => self.index as f64 * self.gap,
        };
        let statement = self.weights.pick(&mut self.draw);
        let index = self.index;
        self.index += 1;
        Some(Arrival { index, at: Duration::from_secs_f64(at), statement })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, n: usize) -> Vec<Arrival> {
        Schedule::new(seed, 50.0, Arrivals::Poisson, [3.0, 1.0]).take(n).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        assert_eq!(take(9, 500), take(9, 500));
        assert_ne!(take(9, 500), take(10, 500));
    }

    #[test]
    fn the_rate_and_the_shares_are_those_asked_for() {
        let arrivals = take(1, 10_000);
        let seconds = arrivals[9_999].at.as_secs_f64();
        assert!((190.0..210.0).contains(&seconds), "{seconds}");
        let first = arrivals.iter().filter(|arrival| arrival.statement == 0).count();
        assert!((7_300..7_700).contains(&first), "{first}");
        assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn fixed_gaps_are_equal() {
        let arrivals: Vec<Arrival> = Schedule::new(1, 8.0, Arrivals::Fixed, [1.0]).take(9).collect();
        assert_eq!(arrivals[8].at, Duration::from_secs(1));
    }

    #[test]
    fn parameters_do_not_depend_on_other_arrivals() {
        let value = |index| parameter_draw(4, index).below(1_000_000);
        assert_eq!(value(17), value(17));
        assert_ne!(value(17), value(18));
    }
}
