//! Does a user who describes a set in five lines get partitions, as the pages say?

use crate::program::User;
use crate::world::World;

const METRICS: &str = r#"
    create schema metrics;
    create table metrics."Sys.metrics" (id bigint, at timestamptz not null, note text, primary key (id, at)) partition by range (at);
    create table metrics."Sys.metrics_y2001m07" partition of metrics."Sys.metrics" for values from ('2001-07-01') to ('2001-08-01');
    create table metrics."Sys.metrics_y2001m08" partition of metrics."Sys.metrics" for values from ('2001-08-01') to ('2001-09-01');
    insert into metrics."Sys.metrics" values (1, '2001-07-05')"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_found_written_down_looked_at_and_kept() {
    for binaries in testkit::versions() {
        let user = User::new();
        let world = World::on(testkit::server(binaries.major)).await;
        world.load(METRICS).await;
        let url = world.url.as_str();

        let listed = user.run(&["partition", "list", url]).exits(0);
        assert!(listed.stdout.contains("metrics.\"Sys.metrics\"  1 month"), "{}", listed.stdout);
        assert!(
            listed.stdout.contains("No partition takes rows of now; an INSERT fails."),
            "{}",
            listed.stdout
        );
        let one = user.run(&["partition", "list", "\"Sys.metrics\"", "--json", url]).exits(0);
        let json = one.json("partition_list");
        assert_eq!(json["tables"][0]["partitions"][0]["name"]["name"], "Sys.metrics_y2001m07");

        user.run(&["partition", "run", "--execute", url]).fails(2).tells("no partition set is described");
        user.run(&["partition", "adopt", "--write", url]).exits(0);
        let written = std::fs::read_to_string(user.file("pgwright.toml")).unwrap();
        assert_eq!(
            written,
            "\n[[partition_set]]\ntable = 'metrics.\"Sys.metrics\"'\ninterval = \"1 month\"\ntime_zone = \"UTC\"\n\
             premake = 4\nnaming = \"{table}_y{YYYY}m{MM}\"\n"
        );
        user.run(&["partition", "adopt", url]).exits(0).tells("there is nothing to adopt");
        user.write("pgwright.toml", format!("{written}retention = \"12 months\"\nthen = \"detach\"\n"));

        let before = world.schema_dump().await;
        let planned = user.run(&["partition", "run", url]).exits(0).tells("nothing was run");
        // This month, four ahead, twelve behind that are within the retention; and the undo of two.
        assert_eq!(
            planned.stdout.matches(" ATTACH PARTITION metrics.\"Sys.metrics_y20").count(),
            1 + 4 + 12 + 2
        );
        assert_eq!(world.schema_dump().await, before);

        user.run(&["partition", "run", "--execute", url]).exits(0).tells("1 set, 19 of 19 steps done");
        let count = "select count(*) from pg_inherits where inhparent = 'metrics.\"Sys.metrics\"'::regclass";
        assert_eq!(world.value(count).await, "17");
        world.sql(r#"insert into metrics."Sys.metrics" values (2, now())"#).await;
        assert_eq!(world.value(r#"select count(*) from metrics."Sys.metrics_y2001m07""#).await, "1");
        user.run(&["partition", "plan", url]).exits(0).tells("there is nothing to do");
        let journal = user.run(&["journal", url]).exits(0);
        assert!(
            journal.stdout.contains("look after the partitions of metrics.\"Sys.metrics\""),
            "{}",
            journal.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told() {
    let user = User::new();
    let world = World::new().await;
    world.load("create table r (at date not null) partition by range (at); create table plain (x int)").await;
    let url = world.url.as_str();
    user.run(&["partition", "list", "plain", url]).fails(2).tells("no partitioned table is called \"plain\"");
    user.run(&["partition", "plan", "r", url]).fails(2).tells("could not tell how public.r is divided");
    user.run(&["partition", "plan", "r", "--interval", "hour", url])
        .fails(2)
        .tells("a key of kind date cannot be divided by \"1 hour\"");
    user.run(&["partition", "plan", "r", "--interval", "month", "--naming", "{table}_{YYYY}", url])
        .fails(2)
        .tells("it needs {YYYY} and {MM}");
    user.run(&["partition", "plan", "r", "--interval", "month", "--time-zone", "Mars/Base", url])
        .fails(2)
        .tells("no time zone");
    user.write("pgwright.toml", "[[partition_set]]\ntable = \"r\"\nintervall = \"month\"\n");
    user.run(&["partition", "plan", url]).fails(2).tells("could not understand \"pgwright.toml\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_partition_is_archived_listed_and_brought_back() {
    for binaries in testkit::versions() {
        let user = User::new();
        let world = World::on(testkit::server(binaries.major)).await;
        world.load(METRICS).await;
        let url = world.url.as_str();
        let set = "[[partition_set]]\ntable = 'metrics.\"Sys.metrics\"'\ninterval = \"1 month\"\npremake = 0\n\
                   naming = \"{table}_y{YYYY}m{MM}\"\nretention = \"12 months\"\nthen = \"archive\"\n";
        user.write("pgwright.toml", set);
        user.run(&["partition", "run", url]).fails(2).tells("needs archive, the folder");
        user.write("pgwright.toml", format!("{set}archive = \"cold store\"\n"));
        user.run(&["partition", "restore"]).exits(0).tells("there are no archives");
        let planned = user.run(&["partition", "plan", url]).exits(0);
        assert_eq!(planned.stdout.matches(" TO STDOUT ").count(), 2, "{}", planned.stdout);
        user.run(&["partition", "run", "--execute", url]).exits(0).tells("the file was read back and agrees");
        assert_eq!(world.value(r#"select count(*) from metrics."Sys.metrics""#).await, "0");
        let listed = user.run(&["partition", "restore", "--json"]).exits(0).json("partition_archives");
        assert_eq!(listed["archives"][0]["archive"]["rows"], 1);
        assert_eq!(listed["archives"][1]["archive"]["rows"], 0);

        let name = "metrics.\"Sys.metrics_y2001m07\"";
        user.run(&["partition", "restore", "nothing", url]).fails(2).tells("there is no archive of");
        let before = world.schema_dump().await;
        let planned = user.run(&["partition", "restore", name, url]).exits(0).tells("nothing was run");
        assert!(planned.stdout.contains(" FROM STDIN "), "{}", planned.stdout);
        assert_eq!(world.schema_dump().await, before);
        user.run(&["partition", "restore", name, "--execute", url])
            .exits(0)
            .tells("1 rows, compared with its archive")
            .tells("retires again");
        assert_eq!(world.value(r#"select id from metrics."Sys.metrics""#).await, "1");
        user.run(&["partition", "restore", name, "--execute", url]).fails(3).tells("already");
        let journal = user.run(&["journal", url]).exits(0);
        assert!(journal.stdout.contains("restore metrics.\"Sys.metrics_y2001m07\" from its archive"));
        let manifest = listed["archives"][1]["manifest"].as_str().unwrap();
        user.run(&["partition", "restore", manifest, "--no-attach", "--execute", url])
            .exits(0)
            .tells("a table of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_told_to_make_partitions_by_itself() {
    let user = User::new();
    let world = World::new().await;
    world.load(METRICS).await;
    let url = world.url.as_str();
    let set = ["partition", "schedule", "\"Sys.metrics\"", "--interval", "month"];
    let with = |more: &[&'static str]| -> Vec<String> {
        set.iter().chain(more).map(|word| (*word).to_owned()).chain([url.to_owned()]).collect()
    };
    let run = |words: Vec<String>| user.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let before = world.schema_dump().await;
    let shown = run(with(&["--partitions", "20"])).exits(0).tells("nothing was run");
    assert!(shown.stdout.contains("some scheduler has to run CALL pgwright_cron.run()"), "{}", shown.stdout);
    assert_eq!(world.schema_dump().await, before);
    run(with(&["--pg-cron", "--execute"])).fails(2).tells("pg_cron is not in this database");
    assert_eq!(world.schema_dump().await, before);
    let done = run(with(&["--partitions", "20", "--execute", "--json"])).exits(0);
    let json = done.json("partition_schedule");
    assert_eq!(json["schedule"]["sets"][0]["partitions"], 20);
    world.sql("call pgwright_cron.run()").await;
    let count = "select count(*) from pg_inherits where inhparent = 'metrics.\"Sys.metrics\"'::regclass";
    assert_eq!(world.value(count).await, "7");
    user.run(&["undo", "--execute", url]).exits(0);
    assert_eq!(world.value("select to_regnamespace('pgwright_cron') is null").await, "true");
    assert_eq!(world.value(count).await, "7");
}
