//! Does lint say that a partition is read while it is attached exactly when PostgreSQL reads it? PostgreSQL tells when it
//! need not, at the level DEBUG1.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use advice::migration::{MigrationFile, lint};
use advice::schema::Settings;
use futures_util::{StreamExt as _, stream};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::snapshot;

/// A partitioned table `m`, a table `n` to be attached, and the bound.
struct Case {
    made: &'static str,
    /// In the migration, before the statement.
    before: &'static str,
    bound: &'static str,
    /// What PostgreSQL reads, for the reader; the server is asked.
    reads: &'static str,
}

const fn case(made: &'static str, before: &'static str, bound: &'static str, reads: &'static str) -> Case {
    Case { made, before, bound, reads }
}

const BY_TIME: &str = "create table m (at timestamptz not null, id int) partition by range (at);
    create table n (at timestamptz not null, id int);";

const CASES: &[Case] = &[
    case(BY_TIME, "", "from ('2024-01-01') to ('2024-02-01')", "n"),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (10) to (20)",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (0) to (100)",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (10) to (19)",
        "n",
    ),
    // A NULL satisfies a CHECK and belongs nowhere.
    case(
        "create table m (id int) partition by range (id); create table n (id int, check (id >= 10 and id < 20));",
        "",
        "from (10) to (20)",
        "n",
    ),
    case(
        "create table m (id int) partition by range (id); create table n (id int, check (id is not null and id between 11 and 19));",
        "",
        "from (10) to (20)",
        "",
    ),
    case(
        "create table m (id int) partition by range (id); create table n (id int, check (id >= 10), check (id < 20));",
        "alter table n alter column id set not null",
        "from (10) to (20)",
        "",
    ),
    // A check of something else, and one that is not valid.
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null, other int, check (other >= 10));
         alter table m add column other int;",
        "",
        "from (10) to (20)",
        "n",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null);
         alter table n add constraint c check (id >= 10 and id < 20) not valid;",
        "",
        "from (10) to (20)",
        "n",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null);
         alter table n add constraint c check (id >= 10 and id < 20) not valid;",
        "alter table n validate constraint c",
        "from (10) to (20)",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table n (id int not null, check (id < 5));",
        "",
        "from (minvalue) to (10)",
        "",
    ),
    case(
        "create table m (id bigint not null) partition by range (id); create table n (id bigint not null, check (id >= 5));",
        "",
        "from (5) to (maxvalue)",
        "",
    ),
    case(
        BY_TIME,
        "alter table n add constraint c check (at >= '2024-01-01' and at < '2024-02-01')",
        "from ('2024-01-01') to ('2024-02-01')",
        "",
    ),
    case(
        "create table m (at date not null) partition by range (at); create table n (at date not null, check (at >= '2024-01-01' and at < '2024-02-01'));",
        "",
        "from ('2024-01-01') to ('2024-02-01')",
        "",
    ),
    case(
        "create table m (at timestamp not null) partition by range (at);
         create table n (at timestamp not null, check (at >= '2024-01-01' and at < '2024-01-31 12:00'));",
        "",
        "from ('2024-01-01 00:00:00') to ('2024-02-01')",
        "",
    ),
    case(
        "create table m (at timestamptz not null) partition by range (at);
         create table n (at timestamptz not null, check (at >= '2024-01-01 00:00+02' and at < '2024-02-01 00:00+02'));",
        "",
        "from ('2023-12-31 22:00+00') to ('2024-01-31 22:00+00')",
        "",
    ),
    case(
        "create table m (kind text not null) partition by list (kind); create table n (kind text not null, check (kind in ('a', 'b')));",
        "",
        "in ('a', 'b', 'c')",
        "",
    ),
    case(
        "create table m (kind text not null) partition by list (kind); create table n (kind text not null, check (kind in ('a', 'd')));",
        "",
        "in ('a', 'b', 'c')",
        "n",
    ),
    case(
        "create table m (kind text) partition by list (kind); create table n (kind text, check (kind = 'a'));",
        "",
        "in ('a')",
        "n",
    ),
    case(
        "create table m (kind int) partition by list (kind); create table n (kind int, check (kind is null or kind = 1));",
        "",
        "in (1, null)",
        "",
    ),
    case(
        "create table m (id int not null) partition by hash (id); create table n (id int not null, check (id = 1));",
        "",
        "with (modulus 1, remainder 0)",
        "n",
    ),
    case(
        "create table m (a int not null, b int not null) partition by range (a, b);
         create table n (a int not null, b int not null, check ((a > 1 or (a = 1 and b >= 2)) and (a < 3 or (a = 3 and b < 4))));",
        "",
        "from (1, 2) to (3, 4)",
        "",
    ),
    case(
        "create table m (a int not null, b int not null) partition by range (a, b);
         create table n (a int not null, b int not null, check (a = 2));",
        "",
        "from (1, 2) to (3, 4)",
        "",
    ),
    case(
        "create table m (\"At\"\"x\" int not null) partition by range (\"At\"\"x\"); create table n (\"At\"\"x\" int not null, check (\"At\"\"x\" = 7));",
        "",
        "from (7) to (8)",
        "",
    ),
    // The DEFAULT partition is read too, unless its checks keep the new rows out.
    case(
        "create table m (id int not null) partition by range (id); create table d partition of m default;
         create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (10) to (20)",
        "d",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table d partition of m default;
         alter table d add check (id < 10 or id >= 20); create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (10) to (20)",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table d partition of m default;
         alter table d add check (id >= 0); create table n (id int not null, check (id >= 10 and id < 20));",
        "",
        "from (10) to (20)",
        "d",
    ),
    case(
        "create table m (kind text not null) partition by list (kind); create table d partition of m default;
         alter table d add check (kind <> 'a' and kind <> 'b'); create table n (kind text not null, check (kind = 'b'));",
        "",
        "in ('b')",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table m1 partition of m for values from (0) to (10);
         create table n (id int not null, check (id >= 10));",
        "",
        "default",
        "",
    ),
    case(
        "create table m (id int not null) partition by range (id); create table m1 partition of m for values from (0) to (10);
         create table n (id int not null, check (id >= 5));",
        "",
        "default",
        "n",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_said_to_be_read_when_it_is() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let (client, mut connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
        let told = Arc::new(Mutex::new(Vec::<String>::new()));
        let telling = Arc::clone(&told);
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    telling.lock().unwrap().push(notice.message().to_owned());
                }
            }
        });
        for (number, case) in CASES.iter().enumerate() {
            let made = format!("create schema a{number}; set search_path = a{number}; {}", case.made);
            client.batch_execute(&made).await.unwrap_or_else(|e| panic!("{made}: {e:?}"));
        }
        let snapshot = snapshot(&database.url).await;
        let mut wrong = Vec::new();
        for (number, case) in CASES.iter().enumerate() {
            let schema = format!("a{number}");
            let bound = if case.bound == "default" {
                "default".to_owned()
            } else {
                format!("for values {}", case.bound)
            };
            let attach = format!("alter table {schema}.m attach partition {schema}.n {bound}");
            let before = case.before.replace("table n", &format!("table {schema}.n"));
            let file = MigrationFile { name: "m.sql".into(), text: format!("{before};\n{attach}") };
            let only = ["attach-partition-scan".to_owned()];
            let (report, remarks) = lint(&[file], &snapshot, &Settings::default(), &only, false);
            assert!(remarks.mistakes.is_empty(), "{:?}", remarks.mistakes);
            let said: BTreeSet<String> = report
                .findings
                .iter()
                .map(|f| f.finding.key.rsplit(['.', ':']).next().unwrap_or_default().to_owned())
                .collect();

            let sql =
                format!("set search_path = {schema}; set client_min_messages = debug1; {before}; select 1");
            client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            told.lock().unwrap().clear();
            client
                .batch_execute(&format!("{attach}; select 1"))
                .await
                .unwrap_or_else(|e| panic!("{attach}: {e:?}"));
            client.batch_execute("set client_min_messages = notice").await.unwrap();
            let spared = told.lock().unwrap().join("\n");
            let mut read = BTreeSet::new();
            if !spared.contains("\"n\" is implied by existing constraints") {
                read.insert("n".to_owned());
            }
            let has_default = case.made.contains("create table d");
            if has_default && !spared.contains("default partition \"d\" is implied by existing constraints") {
                read.insert("d".to_owned());
            }
            let expected: BTreeSet<String> =
                case.reads.split(", ").filter(|r| !r.is_empty()).map(str::to_owned).collect();
            assert_eq!(read, expected, "{} {attach}: PostgreSQL said {spared}", case.made);
            if said != read {
                wrong.push(format!(
                    "{}\n  {before} {attach}: said {said:?}, PostgreSQL reads {read:?}",
                    case.made
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_null_satisfies_does_not_spare_set_not_null() {
    let database = testkit::database(testkit::any_server()).await;
    let client = testkit::connect(&database.url).await;
    let made = "create table t (a int check (a >= 0), b int check (b is not null and b >= 0)); insert into t values (1, 1)";
    client.batch_execute(made).await.unwrap();
    let snapshot = snapshot(&database.url).await;
    for (column, found) in [("a", 1), ("b", 0)] {
        let text = format!("alter table t alter column {column} set not null");
        let file = MigrationFile { name: "m.sql".into(), text };
        let (report, _) = lint(&[file], &snapshot, &Settings::default(), &["set-not-null".to_owned()], false);
        assert_eq!(report.findings.len(), found, "{column}: {report:?}");
    }
}
