//! Does a plan in text format give the same tree as the same plan in JSON? Both were printed by real
//! servers, one after the other, for every statement of the fixtures.

use plan::{Node, Plan, PlanError, input};

use crate::{FIXTURES, fixtures};

fn text_of(name: &str) -> String {
    let path = format!("{FIXTURES}/{name}.txt");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What does not differ between two executions of one statement.
fn facts(plan: &Plan, node: &Node) -> serde_json::Value {
    let mut node = node.clone();
    // Measured anew in each run.
    node.usage = Default::default();
    node.own = Default::default();
    node.total_ms = None;
    node.workers.iter_mut().for_each(|w| (w.total_ms, w.rows, w.loops) = (None, 0.0, 0.0));
    if let Some(actual) = &mut node.actual {
        assert_eq!(actual.startup_ms.is_some(), actual.total_ms.is_some());
        (actual.startup_ms, actual.total_ms) = (actual.startup_ms.map(|_| 0.0), actual.total_ms.map(|_| 0.0));
    }
    // How far parallel processes come is chance.
    let parallel = plan.nodes.iter().any(|n| n.node_type.starts_with("Gather"));
    if parallel {
        node.actual = None;
        node.removed_by_filter = 0.0;
        node.memoize = None;
        node.hash = None;
        node.sort = node.sort.map(|_| Default::default());
        node.heap_fetches = None;
        node.index_searches = None;
        node.workers.clear();
    }
    // Text leaves out what is false, and what it prints in another way stays in `extra`.
    node.extra.clear();
    if let Some(hash) = &mut node.hash {
        hash.peak_memory_kb = 0;
    }
    // Only VERBOSE says it in text.
    node.inner_unique = false;
    // Peaks of memory vary by a page.
    if let Some(sort) = &mut node.sort {
        sort.memory_kb = 0;
    }
    // A write that is rolled back leaves a larger table to the run after it.
    if plan.nodes.iter().any(|n| n.is("ModifyTable")) {
        (node.startup_cost, node.total_cost, node.plan_rows) = (0.0, 0.0, 0.0);
    }
    // Nothing removed is not printed in text.
    node.subplans_removed = node.subplans_removed.filter(|n| *n > 0);
    serde_json::to_value(node).unwrap()
}

#[test]
fn text_gives_the_tree_that_json_gives() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for (name, json) in fixtures() {
        let json: Plan = json.parse().unwrap_or_else(|e: PlanError| panic!("{name}: {e}"));
        let text: Plan =
            text_of(&name).parse().unwrap_or_else(|e: PlanError| panic!("{name}.txt: {e}: {:?}", e.detail()));
        assert_eq!(plan::render::shape(&text), plan::render::shape(&json), "{name}");
        for (from_text, from_json) in text.nodes.iter().zip(&json.nodes) {
            let (from_text, from_json) = (facts(&text, from_text), facts(&json, from_json));
            for (key, value) in from_json.as_object().unwrap() {
                if from_text[key] != *value {
                    differences.push(format!("{name}: {key}: text {} json {value}", from_text[key]));
                }
            }
            compared += 1;
        }
        assert_eq!(text.settings, json.settings, "{name}");
        assert_eq!(text.has_buffers, json.has_buffers, "{name}");
        assert_eq!(text.planning_ms.is_some(), json.planning_ms.is_some(), "{name}");
        assert_eq!(text.execution_ms.is_some(), json.execution_ms.is_some(), "{name}");
        assert_eq!(text.jit.map(|j| j.functions), json.jit.map(|j| j.functions), "{name}");
        // Text names the trigger's table only where several tables have one.
        let triggers =
            |p: &Plan| p.triggers.iter().map(|t| (t.constraint.clone(), t.calls as u64)).collect::<Vec<_>>();
        assert_eq!(triggers(&text), triggers(&json), "{name}");
        // Two executions do not touch the same pages: the second finds the cache warm and the hints set. What
        // was read is what stands in the text.
        let raw = text_of(&name);
        let counter = |word: &str| -> u64 {
            let line = raw
                .lines()
                .take_while(|l| !l.contains("->") && !l.starts_with("Planning"))
                .find(|l| l.trim_start().starts_with("Buffers: "));
            let shared =
                line.and_then(|l| l.split("shared ").nth(1)).map_or("", |l| l.split(',').next().unwrap());
            shared.split(' ').find_map(|p| p.trim().strip_prefix(word)).map_or(0, |n| n.parse().unwrap())
        };
        // Constants with line breaks look like nodes.
        if !name.ends_with("line_breaks") {
            assert_eq!(text.nodes[0].usage.shared_hit, counter("hit="), "{name}");
            assert_eq!(text.nodes[0].usage.shared_read, counter("read="), "{name}");
        }
        assert_eq!(text.nodes[0].usage.pages() > 0, json.nodes[0].usage.pages() > 0, "{name}");
        let wal = |p: &Plan| p.nodes[0].usage.wal_records > 0;
        assert_eq!(wal(&text), wal(&json), "{name}");
    }
    assert_eq!(differences, Vec::<String>::new());
    assert!(compared > 900, "only {compared} nodes");
}

/// As psql shows it by default, and as people paste it.
#[test]
fn decorated_plans_are_the_same_plan() {
    for (name, _) in fixtures() {
        let text = text_of(&name);
        // The two with line breaks in constants: psql marks those with a + that such a reader can only guess.
        if name.ends_with("line_breaks") || name.ends_with("odd_names") {
            continue;
        }
        let plain: Plan = text.parse().unwrap();
        let width = text.lines().map(|l| l.chars().count()).max().unwrap_or(0) + 2;
        let mut aligned = format!("{:^width$}\n{}\n", "QUERY PLAN", "-".repeat(width));
        let mut expanded = String::new();
        let mut csv = "QUERY PLAN\n".to_owned();
        let mut cells = String::new();
        for (n, line) in text.lines().enumerate() {
            aligned.push_str(&format!(" {line}\n"));
            expanded.push_str(&format!("-[ RECORD {} ]---\nQUERY PLAN | {line}\n", n + 1));
            let quoted = format!("\"{}\"\n", line.replace('"', "\"\""));
            csv.push_str(if line.contains(['"', ',']) { &quoted } else { line });
            if !line.contains(['"', ',']) {
                csv.push('\n');
            }
            cells.push_str(&quoted);
        }
        aligned.push_str(&format!("({} rows)\n\nTime: 12.345 ms\n", text.lines().count()));
        let indented: String = text.lines().map(|l| format!("        {l}\r\n")).collect();
        for form in [aligned, expanded, csv, cells, indented] {
            let read: Plan =
                form.parse().unwrap_or_else(|e: PlanError| panic!("{name}: {e} {:?}\n{form}", e.detail()));
            assert_eq!(read, plain, "{name}\n{form}");
        }
    }
}

#[test]
fn a_plan_that_is_cut_off_is_said_to_be() {
    let text = text_of("17/hash_join");
    let lines: Vec<&str> = text.lines().collect();
    let second_input =
        lines.iter().rposition(|l| l.contains("->  Seq Scan") || l.contains("->  Hash ")).unwrap();
    for cut in [lines[..second_input].join("\n"), text[..text.find("width=").unwrap() + 3].to_owned()] {
        let error = cut.parse::<Plan>().unwrap_err();
        assert!(matches!(error, PlanError::CutOff { .. }), "{error:?}\n{cut}");
        assert!(error.hint().is_some());
    }
    // Damaged in the middle: the line is named.
    let mut damaged = lines.clone();
    damaged[second_input] = "      ->  Seq Scan on experiments  (cost=0.00..";
    let error = damaged.join("\n").parse::<Plan>().unwrap_err();
    assert_eq!(error.to_string(), format!("plan is cut off at line {}", second_input + 1));
}

#[test]
fn several_plans_in_one_text_are_told_apart() {
    let names = ["18/hash_join", "18/costs_off", "18/seq_scan_filter", "18/estimated"];
    let text: String = names
        .iter()
        .map(|n| {
            format!(
                "        QUERY PLAN\n-------------------\n{}(3 rows)\n\n",
                text_of(n).lines().map(|l| format!(" {l}\n")).collect::<String>()
            )
        })
        .collect();
    let found = input::find_in(&text).unwrap();
    // Without costs the line that begins a plan is known by its figures all the same.
    assert_eq!(found.plans.len(), names.len());
    for (name, found) in names.iter().zip(&found.plans) {
        let expected: Plan = text_of(name).parse().unwrap();
        assert_eq!(plan::render::shape(&found.plan().unwrap()), plan::render::shape(&expected), "{name}");
    }
    let json: String = ["15/hash_join", "17/cte_twice"]
        .iter()
        .map(|n| std::fs::read_to_string(format!("{FIXTURES}/{n}.json")).unwrap())
        .collect();
    assert_eq!(input::find_in(&json).unwrap().plans.len(), 2);
}

#[test]
fn other_formats_are_named_and_statements_are_no_plans() {
    let xml = "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query>";
    assert!(matches!(input::find_in(xml), Err(PlanError::Format { format: "XML" })));
    let yaml = "- Plan: \n    Node Type: \"Seq Scan\"\n";
    assert!(matches!(input::find_in(yaml), Err(PlanError::Format { format: "YAML" })));
    for sql in [
        "select 1",
        "UPDATE t SET a = 1\n  WHERE b: 2",
        "values (1)",
        "delete from t",
        "-- Seq Scan on t\nselect 1",
        "",
    ] {
        let found = input::find_in(sql).unwrap();
        assert!(found.plans.is_empty() && found.other.as_deref() == Some(sql), "{sql}");
    }
}

#[test]
fn a_plan_deeper_than_json_parsers_go_is_read() {
    let levels = 700;
    let node = "{\"Plan\": ".to_owned()
        + &"{\"Node Type\": \"Result\", \"Total Cost\": 1, \"Plans\": [".repeat(levels)
        + "{\"Node Type\": \"Result\"}"
        + &"]}".repeat(levels)
        + "}";
    assert_eq!(node.parse::<Plan>().unwrap().nodes.len(), levels + 1);
    let text: String = (0..levels)
        .map(|n| match n {
            0 => "Result  (cost=0.00..1.00 rows=1 width=1)\n".to_owned(),
            n => format!("{}->  Result  (cost=0.00..1.00 rows=1 width=1)\n", " ".repeat(2 + 6 * (n - 1))),
        })
        .collect();
    assert_eq!(text.parse::<Plan>().unwrap().nodes.len(), levels);
    let absurd = "[{\"Plan\": ".repeat(50_000);
    assert!(matches!(absurd.parse::<Plan>(), Err(PlanError::TooLarge { .. })));
}
