//! Are the plans of auto_explain found in logs of every kind?

use plan::{Plan, PlanError, input};

use crate::FIXTURES;

fn fixture_text(name: &str) -> String {
    std::fs::read_to_string(format!("{FIXTURES}/{name}")).unwrap()
}

/// The message as auto_explain makes it: text, or JSON with the statement inside.
fn message(duration: &str, query: &str, json: bool) -> String {
    if json {
        let mut plan: serde_json::Value = serde_json::from_str(&fixture_text("17/hash_join.json")).unwrap();
        let mut object = plan[0].take();
        object["Query Text"] = query.into();
        format!("duration: {duration} ms  plan:\n{}", serde_json::to_string_pretty(&object).unwrap())
    } else {
        format!(
            "duration: {duration} ms  plan:\nQuery Text: {query}\n{}",
            fixture_text("17/hash_join.txt").trim_end()
        )
    }
}

const QUERY: &str = "SELECT count(*)\n  FROM runs r -- \"a\", 'b'\n\n WHERE (cost = 1)";

fn stderr(prefix: &str, message: &str) -> String {
    format!("{prefix}LOG:  {}\n", message.replace('\n', "\n\t"))
}

fn csv(message: &str) -> String {
    format!(
        "2026-11-26 10:00:00.000 UTC,\"app\",\"shop\",42,\"[local]\",6565.2a,1,\"SELECT\",2026-11-26 09:00:00 UTC,3/4,0,LOG,00000,\"{}\",,,,,,,,,\"psql\",\"client backend\",,0\n",
        message.replace('"', "\"\"")
    )
}

fn jsonlog(message: &str) -> String {
    let object = serde_json::json!({"timestamp": "2026-11-26 10:00:00.000 UTC", "pid": 42, "error_severity": "LOG", "message": message});
    format!("{object}\n")
}

fn syslog(message: &str) -> String {
    let mut out = String::new();
    for (n, line) in format!("LOG:  {}", message.replace('\n', "\n\t")).lines().enumerate() {
        out.push_str(&format!(
            "Nov 26 10:00:00 db postgres[42]: [7-{}] {}\n",
            n + 1,
            line.replace('\t', "#011")
        ));
    }
    out
}

#[test]
fn every_kind_of_log_gives_the_plans_ranked_by_duration() {
    let expected: Plan = fixture_text("17/hash_join.json").parse().unwrap();
    type Writer<'a> = &'a dyn Fn(&str) -> String;
    let kinds: [(&str, Writer<'_>); 6] = [
        ("stderr", &|m| stderr("2026-11-26 10:00:00.000 UTC [42] app@shop ", m)),
        ("stderr without prefix", &|m| stderr("", m)),
        ("odd prefix", &|m| stderr("{\"x\": duration: 7 ms} |", m).replacen('{', "(", 1)),
        ("csvlog", &|m| csv(m)),
        ("jsonlog", &|m| jsonlog(m)),
        ("syslog", &|m| syslog(m)),
    ];
    for (kind, write) in kinds {
        for json in [false, true] {
            let other = write("statement: SELECT 'duration: 5 ms  plan:'");
            let timed = write("duration: 99.5 ms  statement: SELECT 1");
            let log = [
                other.clone(),
                write(&message("12.500", QUERY, json)),
                timed,
                write(&message("1234.000", "SELECT 2", json)),
                other,
                write(&message("0.250", QUERY, json)),
            ]
            .concat();
            let found = input::find(&mut log.as_bytes()).unwrap();
            assert!(found.from_log, "{kind}");
            let durations: Vec<f64> = found.plans.iter().filter_map(|p| p.duration_ms).collect();
            assert_eq!(durations, [1234.0, 12.5, 0.25], "{kind}, json {json}\n{log}");
            let slower = found.plans[1]
                .plan()
                .unwrap_or_else(|e| panic!("{kind}, json {json}: {e} {:?}\n{log}", e.detail()));
            assert_eq!(plan::render::shape(&slower), plan::render::shape(&expected), "{kind}");
            assert_eq!(slower.query_text.as_deref(), Some(QUERY), "{kind}, json {json}");
        }
    }
}

#[test]
fn a_log_that_ends_in_the_middle_of_a_plan_says_so_when_that_plan_is_read() {
    let whole = stderr("", &message("5.000", "SELECT 1", true));
    let found = input::find(&mut &whole.as_bytes()[..whole.len() / 2]).unwrap();
    assert_eq!(found.plans.len(), 1);
    assert!(found.plans[0].plan().is_err());
    let whole = stderr("", &message("5.000", "SELECT 1", false));
    let cut = whole.find("->").unwrap() + 8;
    let found = input::find(&mut &whole.as_bytes()[..cut]).unwrap();
    assert!(found.plans[0].plan().is_err());
}

#[test]
fn a_log_of_many_plans_keeps_the_longest() {
    let mut log = String::new();
    for n in 0..5_000 {
        log.push_str(&format!("LOG:  duration: {n}.000 ms  plan:\n\tQuery Text: SELECT {n}\n\tResult  (cost=0.00..0.01 rows=1 width=4)\n"));
    }
    let found = input::find(&mut log.as_bytes()).unwrap();
    assert!(found.plans.len() >= 500 && found.plans.len() <= input::MAX_LOGGED);
    assert_eq!(found.plans.len() as u64 + found.left_out, 5_000);
    assert_eq!(found.plans[0].duration_ms, Some(4_999.0));
    assert_eq!(found.plans[0].plan().unwrap().query_text.as_deref(), Some("SELECT 4999"));
}

#[test]
fn a_log_without_plans_and_bytes_that_are_no_text_are_not_plans() {
    let found = input::find(&mut "LOG:  checkpoint starting: time\n".as_bytes()).unwrap();
    assert!(found.plans.is_empty() && found.other.is_some());
    let found = input::find(&mut [0xff_u8, 0xfe, 0, b'\n'].as_slice()).unwrap();
    assert!(found.plans.is_empty());
}

#[test]
fn a_message_of_auto_explain_needs_no_log_around_it() {
    let text = std::fs::read_to_string(format!("{FIXTURES}/17/hash_join.txt")).unwrap();
    let planned: String = text
        .lines()
        .filter(|l| !l.starts_with("Planning") && !l.starts_with("Execution"))
        .fold(String::new(), |all, line| {
            if line.starts_with("  Buffers") && all.contains("Planning") { all } else { all + line + "\n" }
        });
    let message =
        format!("Query Text: SELECT *\n  FROM a\n  WHERE b = 'c\nd'\nQuery Parameters: $1 = '7'\n{planned}");
    let indented = |by: &str, text: &str| text.lines().map(|l| format!("{by}{l}\n")).collect::<String>();
    let marked = format!("duration: 152.332 ms  plan:\n{message}");
    let cases = [
        ("bare", marked.clone(), true),
        ("indented", indented("    ", &marked), true),
        ("cited", indented("> ", &marked), true),
        ("fenced", format!("```\n{marked}```\n"), true),
        ("tabs", format!("duration: 152.332 ms  plan:\n{}", indented("\t", &message)), true),
        ("tabs throughout", indented("\t", &marked), true),
        (
            "prefix",
            format!(
                "2026-11-28 10:00:00 UTC [7] LOG:  {marked}2026-11-28 10:00:01 UTC [7] LOG:  connection closed\n"
            ),
            true,
        ),
        ("psql", format!("psql:a.sql:2: LOG:  {marked}CONTEXT:  SQL statement\nDO\nTime: 3 ms\n"), true),
        ("psql without context", format!("LOG:  {marked}INSERT 0 1\n"), true),
        ("text alone", message.clone(), false),
    ];
    let expected: Plan = text.parse().unwrap();
    for (name, paste, timed) in cases {
        for found in [input::find(&mut paste.as_bytes()), input::find_in(&paste)] {
            let found = found.unwrap_or_else(|e| panic!("{name}: {e}: {:?}", e.detail()));
            assert_eq!(found.plans.len(), 1, "{name}");
            assert_eq!(found.plans[0].duration_ms, timed.then_some(152.332), "{name}");
            let plan = found.plans[0].plan().unwrap_or_else(|e| panic!("{name}: {e}: {:?}", e.detail()));
            assert_eq!(plan::render::shape(&plan), plan::render::shape(&expected), "{name}");
            assert_eq!(plan.query_text.as_deref(), Some("SELECT *\n  FROM a\n  WHERE b = 'c\nd'"), "{name}");
        }
    }
    let two = format!("{marked}\nduration: 900.5 ms  plan:\n{message}");
    let found = input::find_in(&two).unwrap();
    let durations: Vec<_> = found.plans.iter().map(|p| p.duration_ms).collect();
    assert_eq!(durations, [Some(900.5), Some(152.332)]);
    assert!(found.plans.iter().all(|p| p.plan().is_ok()));
    let json = std::fs::read_to_string(format!("{FIXTURES}/17/hash_join.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let found = input::find_in(&format!("duration: 3.5 ms  plan:\n{:#}", json[0])).unwrap();
    assert_eq!(found.plans[0].duration_ms, Some(3.5));
    assert!(found.plans[0].plan().is_ok());
}

#[test]
fn frames_that_were_cited_or_indented() {
    let text = std::fs::read_to_string(format!("{FIXTURES}/17/hash_join.txt")).unwrap();
    let width = text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let rule = format!("+-{}-+\n", "-".repeat(width));
    let rows: String = text.lines().map(|l| format!("| {l:<width$} |\n")).collect();
    let framed = format!("{rule}| {:^width$} |\n{rule}{rows}{rule}(9 rows)\n", "QUERY PLAN");
    let json = std::fs::read_to_string(format!("{FIXTURES}/17/hash_join.json")).unwrap();
    let edge = json.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let rows: String = json.lines().map(|l| format!("| {l:<edge$}+|\n")).collect();
    let rule = format!("+-{}-+\n", "-".repeat(edge));
    let boxed = format!("{rule}| {:^edge$} |\n{rule}{rows}{rule}(1 row)\n", "QUERY PLAN");
    let expected: Plan = text.parse().unwrap();
    for (name, paste) in [("text", framed), ("json", boxed)] {
        for by in ["", "> ", "    ", "\t"] {
            let pasted: String = paste.lines().map(|l| format!("{by}{l}\n")).collect();
            let plan: Plan =
                pasted.parse().unwrap_or_else(|e: PlanError| panic!("{name} {by:?}: {e}: {:?}", e.detail()));
            assert_eq!(plan::render::shape(&plan), plan::render::shape(&expected), "{name} {by:?}");
        }
    }
}
