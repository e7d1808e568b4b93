//! Does a Memoize remember what nobody asks for again?
//!
//! Fields: `Cache Hits`, `Cache Misses`, `Cache Evictions`, `Cache Overflows`, of all processes.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::{count, percent};

pub(super) const CHECK: Check =
    Check { id: "useless-memoize", title: "Memoize misses more than it hits", explains: &[], remedy: Remedy::NoMemoize, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let cache = node.memoize?;
            let lookups = cache.hits.saturating_add(cache.misses);
            if lookups < thresholds.memoize_min_lookups || cache.misses < cache.hits {
                return None;
            }
            let detail = if cache.evictions > 0 || cache.overflows > 0 {
                "Entries were thrown out before they were needed again: the cache is too small for the keys. More \
                 work_mem may help, or a hash join; the planner took the outer side for having fewer distinct values."
            } else {
                "The keys hardly repeat, so each is looked up and stored for nothing. The planner took the outer \
                 side for having fewer distinct values: ANALYZE it, or set n_distinct of the column."
            };
            let hit_share = cache.hits as f64 / (lookups as f64).max(1.0);
            let evictions = count(cache.evictions as f64);
            let summary =
                format!("Memoize found {} of {} keys in its cache", percent(hit_share), count(lookups as f64));
            Some(
                Diagnosis::new(node, Severity::Warning, summary, detail)
                    .weighing(plan.subtree_weight(node))
                    .with("cache key", node.cache_key.as_deref().unwrap_or_default())
                    .with("hits", count(cache.hits as f64))
                    .with("misses", count(cache.misses as f64))
                    .with("evictions", evictions)
                    .with("overflows", count(cache.overflows as f64)),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn keys_that_do_not_repeat() {
        assert_found(&CHECK, MAJORS, "memoize_useless", "Memoize");
    }

    #[test]
    fn keys_that_repeat() {
        assert_silent(&CHECK, MAJORS, "memoize_useful");
    }
}
