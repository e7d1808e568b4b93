//! Does a Memoize remember what nobody asks for again?
//!
//! Fields: `Cache Hits`, `Cache Misses`, `Cache Evictions`, `Cache Overflows`, of all processes; and from the catalog the
//! `n_distinct` of the key's column, from which the planner expected the hits.

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::distinct::false_distinct;
use crate::node::Plan;
use crate::render::{count, percent};

pub(super) const CHECK: Check =
    Check { id: "useless-memoize", title: "Memoize misses more than it hits", explains: &[], remedy: Remedy::NoMemoize, run: Run::Database(run) };

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let cache = node.memoize?;
            let lookups = cache.hits.saturating_add(cache.misses);
            if lookups < thresholds.memoize_min_lookups || cache.misses < cache.hits {
                return None;
            }
            let wrong = database.and_then(|d| false_distinct(plan, node, d));
            let told;
            let detail = if let Some(wrong) = &wrong {
                told = format!(
                    "The estimate rests on a false number of distinct values: {} has at least {} and the planner goes by {}, \
                     {}. With the right number it expects no hits and takes another join.",
                    wrong.name(),
                    count(wrong.least),
                    count(wrong.believed),
                    if wrong.by_hand { "which somebody set by hand (n_distinct)" } else { "which ANALYZE guessed from its sample" }
                );
                told.as_str()
            } else if cache.evictions > 0 || cache.overflows > 0 {
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
            let evidence = wrong.iter().map(|w| {
                model::Evidence::new("n_distinct", format!("{} of {}, at least {}", count(w.believed), w.name(), count(w.least)))
            });
            Some(
                Diagnosis::new(node, Severity::Warning, summary, detail)
                    .with_all(evidence.collect::<Vec<_>>())
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

    /// `links` claims 50 different runs (`SET (n_distinct = 50)`), and each of its 20,000 rows has another.
    #[test]
    fn a_number_of_distinct_values_that_is_false() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/memoize_useless"));
            for (options, said, sql) in [
                (vec!["n_distinct=50"], "set by hand", "RESET (n_distinct)"),
                (vec![], "guessed", "SET (n_distinct = -1)"),
            ] {
                let mut database = database("public", "links");
                column(&mut database, "run_id", 50.0, &options);
                database.relations[0].reltuples = 20_000.0;
                let findings = super::super::run_on(&plan, &Thresholds::default(), Some(&database));
                let found = findings.iter().find(|f| f.check == "useless-memoize").unwrap();
                assert!(found.detail.contains(said) && found.detail.contains("public.links.run_id"), "{found:?}");
                let remedies = crate::remedy::remedies(&plan, &findings, Some(&database));
                let sql = format!("ALTER TABLE ONLY public.links ALTER COLUMN run_id {sql}");
                let first = remedies.iter().find(|r| r.kind == Remedy::Distinct).unwrap();
                assert_eq!(first.sql, [sql, "ANALYZE public.links".to_owned()], "{major}");
                assert!(remedies.iter().any(|r| r.kind == Remedy::NoMemoize), "{remedies:?}");
            }
            // With the truth in the statistics nothing of it is said.
            let mut database = database("public", "links");
            column(&mut database, "run_id", -1.0, &[]);
            database.relations[0].reltuples = 20_000.0;
            let findings = super::super::run_on(&plan, &Thresholds::default(), Some(&database));
            let remedies = crate::remedy::remedies(&plan, &findings, Some(&database));
            assert!(remedies.iter().all(|r| r.kind != Remedy::Distinct), "{remedies:?}");
        }
    }

    #[test]
    fn keys_that_repeat() {
        assert_silent(&CHECK, MAJORS, "memoize_useful");
    }
}
