//! Is there something to do about what was found, and is one cause one finding?

use plan::checks::Remedy;
use plan::{Thresholds, checks, remedy, render};

use crate::{fixture, fixtures};

const MAJORS: [u32; 3] = [15, 17, 18];

fn remedies(name: &str) -> Vec<remedy::Advised> {
    let plan = fixture(name);
    remedy::remedies(&plan, &checks::run(&plan, &Thresholds::default()), None)
}

#[test]
fn what_spilled_gets_the_memory_that_holds_it() {
    for major in MAJORS {
        let sort = remedies(&format!("{major}/sort_on_disk"));
        let memory =
            sort.iter().find(|r| r.kind == Remedy::WorkMem).unwrap_or_else(|| panic!("{major}: {sort:?}"));
        let (name, value) = memory.setting.clone().unwrap();
        assert_eq!(name, "work_mem");
        let megabytes: u64 = value.trim_end_matches("MB").parse().unwrap();
        // About 5 MB in each of three processes.
        assert!((8..=32).contains(&megabytes), "{major}: {value}");
        assert_eq!(memory.sql, [format!("SET work_mem = '{value}'")]);
    }
}

/// 25,000 numbers of 8 bytes with a header of 24 each are 800 kB, so the 8 MB that are proposed at least hold them; a list
/// of a million needs 32 MB, or half of it where `hash_mem_multiplier` is 2.
#[test]
fn a_list_that_is_not_hashed_gets_the_memory_in_which_it_is() {
    for major in MAJORS {
        for name in ["not_in", "not_in_estimated"] {
            let mut plan = fixture(&format!("{major}/{name}"));
            for (rows, multiplier, expected) in
                [(25_000.0, None, "8MB"), (1_000_000.0, None, "32MB"), (1_000_000.0, Some("2"), "16MB")]
            {
                let list = plan.nodes.iter_mut().find(|n| n.is("Materialize")).unwrap();
                (list.plan_rows, list.plan_width) = (rows, 8.0);
                if let Some(multiplier) = multiplier {
                    plan.settings.insert("hash_mem_multiplier".into(), multiplier.into());
                }
                let findings = checks::run(&plan, &Thresholds::default());
                let found = remedy::remedies(&plan, &findings, None);
                let kinds: Vec<Remedy> = found.iter().map(|r| r.kind).collect();
                assert_eq!(kinds[..2], [Remedy::Rewrite, Remedy::WorkMem], "{major}/{name}: {found:?}");
                assert_eq!(found[1].setting, Some(("work_mem".into(), expected.into())), "{major}/{name}");
                assert_eq!(found[0].resolves, found[1].resolves);
            }
        }
    }
}

#[test]
fn kinds_of_remedies_follow_from_the_cause() {
    for major in MAJORS {
        for (name, kind) in [
            ("seq_scan_filter", Remedy::Index),
            ("filter_after_index", Remedy::Index),
            ("large_offset", Remedy::Rewrite),
            ("not_in", Remedy::Rewrite),
            ("misestimate", Remedy::Statistics),
            ("index_only_heap_fetches", Remedy::Vacuum),
            ("bloated_table", Remedy::Rebuild),
        ] {
            let found = remedies(&format!("{major}/{name}"));
            assert!(found.iter().any(|r| r.kind == kind), "{major}/{name}: {found:?}");
        }
    }
    // Only Debian's server can compile.
    assert!(remedies("15/jit").iter().any(|r| r.kind == Remedy::NoJit));
}

/// One OR chain of six subqueries is one cause.
#[test]
fn one_or_chain_is_one_finding_of_a_kind() {
    for major in MAJORS {
        let plan = fixture(&format!("{major}/or_of_subqueries"));
        let findings = checks::run(&plan, &Thresholds::default());
        for check in checks::CHECKS {
            let count = findings.iter().filter(|f| f.check == check.id).count();
            assert!(count <= 1, "{major}: {count} times {}: {findings:#?}", check.id);
        }
        let merged = findings.iter().flat_map(|f| &f.evidence).find(|e| e.name == "also at nodes");
        assert!(merged.is_some(), "{major}: {findings:#?}");
    }
}

#[test]
fn no_plan_of_the_fixtures_has_many_findings() {
    for (name, text) in fixtures() {
        let plan: plan::Plan = text.parse().unwrap();
        let findings = checks::run(&plan, &Thresholds::default());
        assert!(findings.len() <= 5, "{name}: {:?}", findings.iter().map(|f| &f.summary).collect::<Vec<_>>());
    }
}

#[test]
fn the_page_says_what_the_tree_says() {
    for (name, text) in fixtures() {
        let plan: plan::Plan = text.parse().unwrap();
        let findings = checks::run(&plan, &Thresholds::default());
        let all = remedy::remedies(&plan, &findings, None);
        let page =
            render::page(&plan, &render::Page { findings: &findings, remedies: &all, ..Default::default() });
        let tree = render::tree_with(&plan, &findings, &render::Style { width: 100_000, color: false });
        let text =
            page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        for line in tree
            .lines()
            .filter(|l| !l.trim().is_empty() && !l.contains("self time") && !l.contains("self cost"))
        {
            // Without the gutter and the lines of the tree; title and figures stand in elements of their own.
            let words = line.trim_start_matches(|c: char| " │├└─".contains(c));
            let words =
                words.split(" %  ").last().unwrap().trim_start_matches(|c: char| " │├└─!-".contains(c));
            for part in words.split("  ").filter(|p| !p.trim().is_empty() && *p != "never run") {
                let part = part.trim().trim_start_matches(|c: char| "│├└─! ".contains(c));
                assert!(text.contains(part), "{name}: the page lacks {part:?}");
            }
        }
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://"),
            "{name}"
        );
    }
}

#[test]
fn a_hostile_plan_stays_text_on_the_page() {
    let hostile = "<img src=x onerror=alert(1)>\u{1b}[2J\u{202e}";
    let json = serde_json::json!([{"Plan": {"Node Type": hostile, "Relation Name": hostile, "Filter": hostile, "Total Cost": 1},
        "Settings": {hostile: hostile}}]);
    let plan = plan::Plan::from_json(&json).unwrap();
    let notes = [hostile.to_owned()];
    let page = render::page(&plan, &render::Page { sql: Some(hostile), notes: &notes, ..Default::default() });
    assert!(!page.contains("<img"), "{page}");
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()) && !page.contains('\u{202e}'));
}
