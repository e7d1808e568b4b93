//! How many pages does a new hash index take?
//!
//! Source: `hashpage.c` (`_hash_init`: buckets for the number of rows, rounded up to a quarter of a power of two) and
//! `hash.h` (75 % is the default fill factor). The planner twin asks it for an index that might be built, lint for one
//! that is rebuilt.

/// Bytes of a page.
const PAGE: f64 = 8192.0;
/// A page without its header and special area.
const PAGE_SPACE: f64 = PAGE - 24.0 - 16.0;
/// A hash code in an index tuple, with its line pointer.
const TUPLE: f64 = 16.0 + 4.0;
/// The fill factor of an index that has none of its own, in percent.
const DEFAULT_FILLFACTOR: f64 = 75.0;

/// Pages of a new hash index of `rows` rows.
///
/// `table_rows` are those of the table by the planner's estimate, before a predicate, which the build goes by;
/// `fillfactor` is in percent; of `classes` each has the probability of one of its values and their number, NULL left out.
pub fn pages(rows: f64, table_rows: f64, fillfactor: Option<f64>, classes: &[(f64, f64)]) -> f64 {
    let per_bucket = (PAGE * fillfactor.unwrap_or(DEFAULT_FILLFACTOR) / 100.0 / TUPLE).floor().max(10.0);
    let buckets = round_up(table_rows / per_bucket);
    let capacity = (PAGE_SPACE / TUPLE).floor();
    // Values other than the frequent ones spread evenly.
    let stored: f64 = classes.iter().map(|(probability, values)| probability * values).sum::<f64>() * rows;
    let mut overflow = 0.0;
    let mut spread = stored;
    let mut distinct = 0.0;
    for (probability, values) in classes {
        let rows = probability * rows;
        distinct += values;
        if rows > capacity / 4.0 {
            overflow += values * (rows / capacity).floor();
            spread -= values * rows;
        }
    }
    // With fewer values than buckets, many buckets stay empty and the others are fuller.
    let used = buckets.min(distinct).max(1.0) / buckets;
    // Rows are spread by the bits of the hash code, so over a power of two of buckets; those that
    // do not exist yet have their rows in another one, which gets twice as many.
    let all = buckets.log2().ceil().exp2();
    let mean = spread.max(0.0) / used / all;
    let doubled = all - buckets;
    overflow += used * (buckets - doubled) * poisson_overflow(mean, capacity);
    overflow += used * doubled * poisson_overflow(2.0 * mean, capacity);
    2.0 + buckets + overflow + (overflow / (PAGE * 8.0)).floor()
}

/// How many overflow pages a bucket needs on average when about `mean` tuples fall into it.
fn poisson_overflow(mean: f64, capacity: f64) -> f64 {
    // Near the capacity the normal distribution decides; it steps from none to one within
    // two standard deviations.
    let deviation = mean.sqrt().max(1.0);
    let pages = (mean / capacity).floor();
    let beyond = (mean - (pages + 1.0) * capacity) / deviation;
    pages + 1.0 / (1.0 + (-1.6 * beyond).exp())
}

/// `_hash_get_totalbuckets(_hash_spareindex(n))`: powers of two, beyond 512 in four steps each.
fn round_up(buckets: f64) -> f64 {
    let power = buckets.max(2.0).log2().ceil().exp2();
    if power < 1024.0 {
        return power;
    }
    let below = power / 2.0;
    below + ((buckets - below) / (below / 4.0)).ceil() * (below / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_rounded_as_the_server_rounds() {
        for (wanted, made) in
            [(1.0, 2.0), (300.0, 512.0), (652.0, 768.0), (1024.0, 1024.0), (1025.0, 1280.0), (3258.0, 3584.0)]
        {
            assert_eq!(round_up(wanted), made, "{wanted}");
        }
    }
}
