//! Do logs add up to what happened, whatever their format, their size and the number of threads?

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::fmt::Write as _;
use std::io::Write as _;

use logs::{Filter, Input, LogError, Options, Prefix, Report, Sampled, analyze};
use serde_json::Value;

fn options(jobs: usize) -> Options {
    Options {
        prefix: None,
        filter: Filter::default(),
        sampled: None,
        jobs,
        top: 20,
        examples: false,
        durations: false,
    }
}

fn analyzed(bytes: impl Into<Vec<u8>>, options: &Options) -> Result<Report, LogError> {
    let stream = std::io::Cursor::new(bytes.into());
    analyze(vec![Input::Stream(Box::new(stream), "test".into())], options, &mut |_| ())
}

fn report(log: &str) -> Report {
    analyzed(log, &options(2)).unwrap()
}

fn json(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// A log of many processes in the extended protocol, in 9 MB and more: several blocks.
fn large() -> String {
    let mut log = String::new();
    for i in 0..59_940_u32 {
        let pid = 1000 + i % 37;
        let second = i / 100;
        let head = format!(
            "2026-03-01 {:02}:{:02}:{:02}.{:03} UTC [{pid}] bob@shop ",
            8 + second / 3600,
            second / 60 % 60,
            second % 60,
            i % 1000
        );
        let statement = match i % 5 {
            0 => "select *\n\tfrom orders where id = $1".to_owned(),
            1 => format!("update stock set n = n - {i} where item in ({i}, 7)"),
            2 => "select now()".to_owned(),
            3 => format!("insert into log values ({i}, 'it''s')"),
            _ => format!("select * from t{} where a = {i}", i % 700),
        };
        // The steps of one statement are far apart, so that blocks begin between them.
        match i / 37 % 3 {
            0 => writeln!(
                log,
                "{head}LOG:  duration: 0.{:03} ms  parse <unnamed>: select *\n\tfrom orders where id = $1",
                i % 1000
            ),
            1 => writeln!(
                log,
                "{head}LOG:  duration: {}.250 ms  execute <unnamed>: select *\n\tfrom orders where id = $1",
                i % 13
            ),
            _ => writeln!(log, "{head}LOG:  duration: {}.500 ms  statement: {statement}", i % 400),
        }
        .unwrap();
        if i % 500 == 0 {
            writeln!(log, "{head}ERROR:  relation \"x{i}\" does not exist at character 15\n{head}STATEMENT:  select * from x{i}").unwrap();
        }
    }
    log
}

#[test]
fn the_answer_does_not_depend_on_the_threads() {
    let log = large();
    assert!(log.len() > 4 << 20, "{}", log.len());
    let one = json(&analyzed(log.clone(), &options(1)).unwrap());
    assert_eq!(one, json(&analyzed(log.clone(), &options(3)).unwrap()));
    // Nothing is lost where a block ends: the entries are those of the lines that begin with a time.
    let began = log.lines().filter(|l| l.starts_with("2026") && !l.contains("STATEMENT:  ")).count();
    assert_eq!(one["entries"], began);
    assert_eq!(one["unread_lines"], 0);
    assert_eq!(one["errors"][0]["count"], 120);
    let executed =
        log.lines().filter(|l| l.contains(" ms  execute ") || l.contains(" ms  statement: ")).count();
    assert_eq!(one["durations"]["calls"], executed);
    // Each process parses before it executes: that time belongs to the execution.
    let total: f64 = log
        .lines()
        .filter_map(|l| l.split_once("duration: ")?.1.split_once(" ms")?.0.parse::<f64>().ok())
        .sum();
    let found = one["durations"]["total_ms"].as_f64().unwrap();
    assert!((found - total).abs() / total < 1e-9, "{found} {total}");
}

#[test]
fn several_files_are_one_log_in_their_order() {
    let log = large();
    let middle = log[..log.len() / 2].rfind("\n2026").unwrap() + 1;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(path("1.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    gz.write_all(&log.as_bytes()[..middle]).unwrap();
    gz.finish().unwrap();
    std::fs::write(path("2.zst"), zstd::encode_all(&log.as_bytes()[middle..], 1).unwrap()).unwrap();
    let inputs = ["1.gz", "2.zst"].map(|name| Input::File(path(name))).into();
    let mut bytes = 0;
    let both = analyze(inputs, &options(2), &mut |n| bytes += n).unwrap();
    assert_eq!(bytes, log.len() as u64);
    let (mut both, mut one) = (json(&both), json(&report(&log)));
    both["files"] = Value::Null;
    one["files"] = Value::Null;
    assert_eq!(both, one);
}

#[test]
fn a_duration_of_its_own_belongs_to_the_statement_before() {
    let log = "2026-03-01 10:00:00.000 UTC [1] LOG:  statement: select 1\n\
               2026-03-01 10:00:00.001 UTC [2] LOG:  statement: select a\n\tfrom t\n\
               2026-03-01 10:00:00.002 UTC [1] LOG:  duration: 5.000 ms\n\
               2026-03-01 10:00:00.003 UTC [3] LOG:  duration: 7.000 ms\n\
               2026-03-01 10:00:00.004 UTC [3] LOG:  duration: 9.000 ms\n";
    let found = json(&report(log));
    assert_eq!(found["durations"]["calls"], 1);
    assert_eq!(found["unmeasured"], 1);
    assert_eq!(found["unnamed"]["calls"], 2);
    assert_eq!(found["statements"][0]["text"], "select $1");
    assert_eq!(found["statements"][0]["slowest"]["duration_ms"], 5.0);
    assert_eq!(found["statements"][1]["text"], "select a from t");
}

#[test]
fn steps_of_processes_that_are_not_told_apart_stay_apart() {
    let log = "2026-03-01 10:00:00 UTC LOG:  statement: select 1\n\
               2026-03-01 10:00:00 UTC LOG:  duration: 5.000 ms\n\
               2026-03-01 10:00:00 UTC LOG:  duration: 1.000 ms  parse <unnamed>: select a\n\
               2026-03-01 10:00:00 UTC LOG:  duration: 2.000 ms  execute <unnamed>: select a\n";
    let found = report(log);
    assert_eq!((found.unmeasured, found.unnamed.calls, found.durations.total_ms.0), (1, 1, 2.0));
}

#[test]
fn short_statements_that_were_sampled_stand_for_many() {
    let mut log = String::new();
    for i in 0..1000 {
        let ms = if i % 100 == 0 { 20 } else { 2 };
        writeln!(log, "2026-03-01 10:00:00.000 UTC [1] LOG:  duration: {ms}.000 ms  statement: select {i}")
            .unwrap();
    }
    let sampled = Some(Sampled { below_ms: 10.0, rate: 0.01 });
    let found = analyzed(log, &Options { sampled, ..options(1) }).unwrap();
    assert_eq!((found.durations.calls, found.durations.samples), (99_010, 1000));
    assert!((found.durations.p99.unwrap().value.0 - 2.0).abs() < 0.05, "{:?}", found.durations.p99);
}

#[test]
fn entries_outside_of_the_filter_do_not_count() {
    let log = "2026-03-01 10:00:00.000 UTC [1] bob@shop LOG:  duration: 1.000 ms  statement: select 1\n\
               2026-03-01 11:00:00.000 UTC [1] bob@shop LOG:  duration: 1.000 ms  statement: select 1\n\
               2026-03-01 11:30:00.000 UTC [1] eve@shop LOG:  duration: 1.000 ms  statement: select 1\n\
               2026-03-01 12:00:00.000 UTC [1] bob@shop LOG:  duration: 1.000 ms  statement: select 1\n";
    let hour = 3_600_000;
    let ten = report(log).hours.len() as i64;
    assert_eq!(ten, 3);
    let start = 1_772_359_200_000; // 2026-03-01 10:00
    let filter = Filter {
        from_ms: Some(start + hour),
        to_ms: Some(start + 2 * hour),
        users: vec!["bob".into()],
        ..Filter::default()
    };
    let found = analyzed(log, &Options { filter, ..options(1) }).unwrap();
    assert_eq!((found.entries, found.left_out, found.first.as_deref()), (1, 3, Some("2026-03-01 11:00:00")));
}

#[test]
fn plans_are_joined_with_their_statement() {
    let log = "2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 30.000 ms  plan:\n\
               \tQuery Text: select *\n\
               \tfrom t where a = 7\n\
               \tSeq Scan on t  (cost=0.00..10.00 rows=1 width=4)\n\
               \t  Filter: (a = 7)\n\
               2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 30.100 ms  statement: select *\n\
               \tfrom t where a = 7\n\
               2026-03-01 10:00:01.000 UTC [1] LOG:  duration: 3.000 ms  plan:\n\
               \t{\n\
               \t  \"Query Text\": \"select * from t where a = 8\",\n\
               \t  \"Plan\": {\"Node Type\": \"Seq Scan\"}\n\
               \t}\n";
    let found = report(log);
    assert_eq!(found.statements.len(), 1);
    let statement = &found.statements[0];
    // The duration that the client saw counts, and not that of the plan beside it.
    assert_eq!((statement.durations.calls, statement.durations.total_ms.0), (1, 30.1));
    let plan = statement.plan.as_ref().unwrap();
    assert_eq!((plan.plans, plan.duration_ms.0), (2, 30.0));
    assert!(
        plan.text.starts_with("Query Text: select *\nfrom t where a = 7\nSeq Scan on t"),
        "{}",
        plan.text
    );
}

#[test]
fn bad_input_is_counted_or_refused_and_nothing_else() {
    assert!(matches!(analyzed("no log\nat all\n", &options(2)), Err(LogError::NoEntry { .. })));
    assert_eq!(analyzed("", &options(2)).unwrap().entries, 0);
    let missing = analyze(vec![Input::File("/nowhere/x.log".into())], &options(2), &mut |_| ());
    assert!(matches!(missing, Err(LogError::Read { .. })));
    // Of a copy that was cut off what is there counts, and it is said; a damaged archive is refused.
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(large().as_bytes()).unwrap();
    let mut gz = gz.finish().unwrap();
    let whole = gz.len();
    gz.truncate(whole / 2);
    let found = analyzed(gz.clone(), &options(2)).unwrap();
    assert!(found.files[0].cut_off && found.entries > 100, "{} entries", found.entries);
    assert!(!report(&large()).files[0].cut_off);
    let damaged: Vec<u8> =
        gz.iter().enumerate().map(|(at, b)| if at > whole / 4 { b ^ 0x5a } else { *b }).collect();
    assert!(matches!(analyzed(damaged, &options(2)), Err(LogError::Read { .. })));
    gz.truncate(12);
    let nothing = analyzed(gz, &options(2));
    assert!(nothing.is_err(), "{nothing:?}");
    let german = "2026-03-01 10:00:00.000 UTC [1] LOG:  Dauer: 1.000 ms  Anweisung: select 1\n";
    assert!(report(german).files[0].other_language);
    let russian = "2026-03-01 10:00:00.000 UTC [1] СООБЩЕНИЕ:  x\n";
    assert!(matches!(analyzed(russian, &options(2)), Err(LogError::OtherLanguage { .. })));
    // Garbage between entries, no text at all, other encodings, Windows' line ends.
    let odd = b"garbage\n2026-03-01 10:00:00.000 UTC [1] LOG:  \r\n2026-03-01 10:00:01.000 UTC [1] ERROR:  caf\xe9 \xff\r\nSTATEMENT:  lost\r\n";
    let found = analyzed(odd.to_vec(), &options(1)).unwrap();
    assert_eq!((found.entries, found.unread_lines), (2, 2));
    assert_eq!(found.first_unread_line.as_deref(), Some("garbage"));
    assert!(found.errors[0].message.starts_with("caf\u{fffd} \u{fffd}"), "{:?}", found.errors[0]);
}

#[test]
fn an_entry_of_any_size_is_read_within_bounds() {
    let mut log =
        "2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 1.000 ms  statement: insert into t values ('"
            .to_owned();
    for _ in 0..700_000 {
        log.push_str("0123456789012345678901234567890123456789012345678901234567\n\t");
    }
    log.push_str("')\n2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 2.000 ms  statement: select 1\n");
    let found = report(&log);
    assert_eq!(found.durations.calls, 2);
    assert_eq!(found.statements[0].text, "select $1");
    assert!(found.statements[1].slowest.as_ref().unwrap().text.len() < 10_000);
}

#[test]
fn more_statements_than_are_told_apart_are_counted_together() {
    let mut log = String::new();
    for i in 0..70_000 {
        writeln!(
            log,
            "2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 1.000 ms  statement: select c{i} from t"
        )
        .unwrap();
        if i % 1000 == 0 {
            writeln!(
                log,
                "2026-03-01 10:00:00.000 UTC [1] LOG:  duration: 50.000 ms  statement: select slow"
            )
            .unwrap();
        }
    }
    let found = report(&log);
    assert_eq!(found.durations.calls, 70_070);
    assert_eq!((found.statements[0].text.as_str(), found.statements[0].durations.calls), ("select slow", 70));
    assert!(found.statements_told_apart <= 10_000 && found.beyond > 0, "{}", found.statements_told_apart);
}

#[test]
fn a_prefix_can_be_given() {
    let log = "bob 7 LOG:  duration: 1.000 ms  statement: select 1\n";
    let prefix = Some(Prefix::read("%u %p ").unwrap());
    let found = analyzed(log, &Options { prefix, ..options(1) }).unwrap();
    assert_eq!(found.slowest[0].user, "bob");
    assert_eq!(found.files[0].log_line_prefix.as_deref(), Some("%u %p "));
}
