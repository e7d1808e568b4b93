//! Are workload files read as they are written, and refused where they cannot be played?

use super::*;

const GOOD: &str = r#"
format = 1
description = "two statements"

[[statement]]
name = "by id"
weight = 3
sql = "SELECT * FROM t WHERE id = :id AND kind = :kind"

[[statement]]
name = "insert"
weight = 1.5
sql = """
INSERT INTO t (id, at, note)
VALUES (:new, :at, :note)
"""

[parameter.id]
query = "SELECT id, n FROM t ORDER BY id"
weight_column = "n"
type = "bigint"

[parameter.kind]
values = ["a", 2, 0.5, true]
weights = [4, 2, 1, 1]

[parameter.new]
uuid = "fresh"

[parameter.at]
timestamp = { from = "-7 days", to = "now" }

[parameter.note]
text = { length = 12 }
"#;

/// Changes the good file and compares the error.
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let error = WorkloadFile::parse("w.toml", &GOOD.replacen(from, to, 1)).unwrap_err();
    let shown = match error.hint() {
        Some(hint) => format!("{error} | {hint}"),
        None => error.to_string(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn a_good_file_is_understood() {
    let file = WorkloadFile::parse("w.toml", GOOD).unwrap();
    assert_eq!(file.statements.len(), 2);
    assert_eq!(file.statements[1].weight, 1.5);
    assert_eq!(file.parameters.len(), 5);
    assert_eq!(file.parameters["id"].sql_type.as_deref(), Some("bigint"));
    assert!(file.ingest.is_none());
}

#[test]
fn errors_name_the_file_the_line_the_culprit_and_a_way_out() {
    check(
        ":kind\"",
        ":knid\"",
        "workload file \"w.toml\", line 8: statement \"by id\" uses unknown parameter \":knid\" | Did you mean :kind?",
    );
    check(
        "(:new, :at",
        "(:new, :elsewhere",
        "workload file \"w.toml\", line 15: statement \"insert\" uses unknown parameter \":elsewhere\" | \
             Define it with [parameter.elsewhere]; a colon that is no parameter needs a space after it.",
    );
    check(
        "(:new, :at, :note)",
        "(:new, :at, 'x')",
        "workload file \"w.toml\", line 33: parameter \"note\" is not used | \
             Write :note in a statement, or remove [parameter.note].",
    );
    check(
        "format = 1",
        "format = 2",
        "workload file \"w.toml\", line 2: format 2 is not known | This version of pgwright reads format = 1.",
    );
    check(
        "weight = 3",
        "weight = 0",
        "workload file \"w.toml\", line 7: weight of statement \"by id\" is not above zero | \
             Remove a statement that should not run.",
    );
    check(
        "weights = [4, 2, 1, 1]",
        "weights = [4, 2]",
        "workload file \"w.toml\", line 23: parameter \"kind\" has 4 values and 2 weights",
    );
    check(
        "\"-7 days\"",
        "\"last week\"",
        "workload file \"w.toml\", line 30: parameter \"at\" has time \"last week\", which is not understood | \
             Write \"now\", \"-7 days\", \"-90 minutes\" or \"+1 hour\".",
    );
    check(
        "uuid = \"fresh\"",
        "type = \"uuid\"",
        "workload file \"w.toml\", line 27: parameter \"new\" has no source | \
             Give one of values, query, int, float, zipf, uuid, timestamp and text.",
    );
    check(
        "type = \"bigint\"",
        "type = \"bigint; DROP TABLE t\"",
        "workload file \"w.toml\", line 18: parameter \"id\" has type \"bigint; DROP TABLE t\", which is no type name",
    );
    check(
        "name = \"insert\"",
        "name = \"by id\"",
        "workload file \"w.toml\", line 11: statement \"by id\" is defined twice",
    );
}

/// Reads a file whose rows are ingested, after some replacements.
fn check_ingest(changes: &[(&str, &str)], expected: Result<(Option<&str>, usize, usize), &str>) {
    const INGEST: &str = r#"
[ingest]
key = "new"
insert = "INSERT INTO t (id, at) VALUES"
row = "(:new, :at)"
update = "UPDATE t SET at = :at WHERE id = :new"
cleanup = "DELETE FROM t WHERE id = :new"
"#;
    let mut ingest = INGEST.to_owned();
    for (from, to) in changes {
        assert!(ingest.contains(from), "{from}");
        ingest = ingest.replace(from, to);
    }
    let read = WorkloadFile::parse("w.toml", &format!("{GOOD}{ingest}")).map(|file| file.ingest.unwrap());
    let shown = read.as_ref().map(|i| (i.returning.as_deref(), i.rows, i.updates));
    assert_eq!(shown.map_err(|error| error.message.as_str()), expected);
}

#[test]
fn the_key_of_ingested_rows_comes_from_here_or_from_the_server() {
    let key = "key = \"new\"";
    check_ingest(&[], Ok((None, 50, 25)));
    check_ingest(&[(key, "key = \"new\"\nrows = 3\nupdates = 0")], Ok((None, 3, 0)));
    check_ingest(
        &[(key, "key = \"at\"")],
        Err("key \"at\" of [ingest] is not a parameter with fresh values"),
    );
    check_ingest(&[(key, "key = \"new\"\nrows = 3")], Err("[ingest] has 3 rows and 25 updates"));
    check_ingest(&[("id = :new", "id = 7")], Err("a part of [ingest] does not use its key \":new\""));

    let returned = (key, "key = \"given\"\nreturning = \"id\"");
    check_ingest(&[returned, ("id = :new", "id = :given")], Ok((Some("id"), 50, 25)));
    check_ingest(&[returned], Err("a part of [ingest] does not use its key \":given\""));
    // The row is made before the server can have given it a key.
    check_ingest(&[returned, (":new", ":given")], Err("row of [ingest] uses unknown parameter \":given\""));
    check_ingest(
        &[(key, "key = \"new\"\nreturning = \"id\"")],
        Err("key \"new\" of [ingest] is returned by the server and a parameter as well"),
    );
    check_ingest(
        &[(key, "key = \"given\"\nreturning = \"id; DROP TABLE t\"")],
        Err("returning \"id; DROP TABLE t\" of [ingest] is no column name"),
    );
}

#[test]
fn what_nobody_reads_is_an_error() {
    let error =
        WorkloadFile::parse("w.toml", &GOOD.replace("weight = 3", "weight = 3\nwieght = 4")).unwrap_err();
    assert_eq!(error.line, Some(8));
    assert!(error.message.contains("wieght"), "{error}");
    let error = WorkloadFile::parse("w.toml", "format = ").unwrap_err();
    assert_eq!(error.line, Some(1));
    let error = WorkloadFile::parse("w.toml", "format = 1").unwrap_err();
    assert_eq!(error.message, "there is no statement");
}

#[test]
fn offsets() {
    let check = |text: &str, seconds: Option<i64>| {
        assert_eq!(parse_offset(text).map(|delta| delta.num_seconds()), seconds, "{text}");
    };
    check("now", Some(0));
    check("-7 days", Some(-604_800));
    check("+90 minutes", Some(5_400));
    check("1 hour", Some(3_600));
    check("-7", None);
    check("-7 fortnights", None);
    check("9223372036854775807 weeks", None);
}
