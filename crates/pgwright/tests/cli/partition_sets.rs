//! Does a user who describes a set in five lines get partitions, as the pages say?

use std::os::unix::fs::{MetadataExt as _, chown};

use crate::program::{User, finish};
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
async fn an_old_partition_goes_into_a_bucket_and_comes_back() {
    let user = User::new();
    let storage = testkit::ObjectStorage::start_with_tls("cold");
    let world = World::new().await;
    world.load(METRICS).await;
    let url = world.url.as_str();
    let set = "[[partition_set]]\ntable = 'metrics.\"Sys.metrics\"'\ninterval = \"1 month\"\npremake = 0\n\
               naming = \"{table}_y{YYYY}m{MM}\"\nretention = \"12 months\"\nthen = \"archive\"\n";
    user.write("pgwright.toml", format!("{set}archive = \"gs://cold/shop\"\n"));
    user.run(&["partition", "run", url]).fails(2).tells("a folder or s3://bucket/prefix");
    user.write("pgwright.toml", format!("{set}archive = \"s3://cold/shop\"\n"));
    let with_variables = |words: &[&str]| {
        let mut command = user.command(words);
        command.envs(storage.variables()).env("AWS_CA_BUNDLE", storage.ca_file());
        finish(&mut command)
    };
    with_variables(&["partition", "restore"]).exits(0).tells("there are no archives");
    let run = ["partition", "run", "--execute", url];
    with_variables(&run).exits(0).tells("are in s3://cold/shop/").tells("was read back and agrees");
    assert_eq!(world.value(r#"select count(*) from metrics."Sys.metrics""#).await, "0");
    assert_eq!(storage.keys("cold").len(), 4, "{:?}", storage.keys("cold"));
    let listed = with_variables(&["partition", "restore", "--json"]).exits(0).json("partition_archives");
    let manifest = listed["archives"][1]["manifest"].as_str().unwrap().to_owned();
    assert!(manifest.starts_with("s3://cold/shop/"), "{manifest}");

    // The same by the file, with the secret in a file of its own.
    let secret = user.write("secret", format!("{}\n", testkit::ObjectStorage::SECRET_ACCESS_KEY));
    let file = format!(
        "{set}archive = \"s3://cold/shop\"\n[object_storage]\nendpoint = \"{}\"\naccess_key_id = \"{}\"\n\
         ca_file = '{}'\n",
        storage.endpoint(),
        testkit::ObjectStorage::ACCESS_KEY_ID,
        storage.ca_file().display()
    );
    user.write("pgwright.toml", &file);
    user.run(&["partition", "restore"]).fails(2).tells("without its secret");
    user.write("pgwright.toml", format!("{file}secret_access_key_file = '{}'\n", secret.display()));
    let name = "metrics.\"Sys.metrics_y2001m07\"";
    user.run(&["partition", "restore", name, url]).exits(0).tells("nothing was run");
    user.run(&["partition", "restore", name, "--execute", url]).exits(0).tells("1 rows, compared with its");
    assert_eq!(world.value(r#"select id from metrics."Sys.metrics""#).await, "1");
    user.run(&["partition", "restore", &manifest, "--no-attach", "--execute", url])
        .exits(0)
        .tells("a table of its own");
    user.write("secret", "wrong");
    let listed = user.run(&["partition", "restore", "--from", "s3://cold/shop"]).fails(3);
    assert!(listed.error().contains("SignatureDoesNotMatch"), "{}", listed.error());
    let journal = user.run(&["journal", "--json", url]).exits(0);
    assert!(!journal.stdout.contains(testkit::ObjectStorage::SECRET_ACCESS_KEY));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_pg_partman_is_taken_over_with_what_pg_partman_says_of_it() {
    let mut tried = 0;
    for server in testkit::servers() {
        let world = World::on(server).await;
        let version = world
            .value("select default_version from pg_available_extensions where name = 'pg_partman'")
            .await;
        let Some(major) = version.split('.').next().and_then(|v| v.parse::<u32>().ok()) else { continue };
        tried += 1;
        let native = if major < 5 { "'native', " } else { "" };
        world
            .load(&format!(
                "create schema partman; create extension pg_partman schema partman;
                 create table public.logs (at timestamptz not null, note text) partition by range (at);
                 create index on public.logs (at);
                 select partman.create_parent('public.logs', 'at', {native}'1 day', p_premake := 3);
                 update partman.part_config set retention = '30 days', retention_keep_table = false;
                 insert into public.logs values (now(), 'one')"
            ))
            .await;
        let user = User::new();
        let url = world.url.as_str();
        let before = world.schema_dump().await;
        user.run(&["partition", "adopt", "--write", url]).exits(0).tells(
            "pg_partman looks after it as well; take its maintenance away before pgwright does it: DELETE FROM \
             partman.part_config WHERE parent_table = 'public.logs'.",
        );
        let written = std::fs::read_to_string(user.file("pgwright.toml")).unwrap();
        for line in [
            "table = \"public.logs\"",
            "interval = \"1 day\"",
            "premake = 3",
            "retention = \"30 days\"",
            "then = \"drop\"",
        ] {
            assert!(written.contains(line), "{line} is not in\n{written}");
        }
        assert_eq!(world.schema_dump().await, before);
        // It goes on where pg_partman stopped: one more ahead, under a name as pg_partman gives it.
        let more = written.replace("premake = 3", "premake = 5");
        user.write("pgwright.toml", more);
        let partitions = "select count(*) from pg_inherits where inhparent = 'public.logs'::regclass";
        let count: u32 = world.value(partitions).await.parse().unwrap();
        user.run(&["partition", "run", "--execute", url]).exits(0);
        let after: u32 = world.value(partitions).await.parse().unwrap();
        assert!(after > count, "{count} before, {after} after");
        let strange = format!("{partitions} and inhrelid::regclass::text !~ '^logs_(p|default)'");
        assert_eq!(world.value(&strange).await, "0");
        user.run(&["partition", "plan", url]).exits(0).tells("there is nothing to do");
        assert_eq!(world.value("select count(*) from logs").await, "1");
    }
    if tried == 0 {
        eprintln!("skipped: no server of this machine has pg_partman; scripts/setup.sh test gets it");
    }
}

/// The table in which pg_partman 5 keeps its sets, with the columns of version 5.1 (`sql/tables/tables.sql`). Neither
/// Debian nor a package registry has version 5, so this is its layout made by hand, as an extension, which
/// PostgreSQL 18 finds in any folder.
const PARTMAN_5: &str = "
    create table @extschema@.part_config (
        parent_table text primary key, control text not null, partition_interval text not null,
        partition_type text not null, premake int not null default 4, automatic_maintenance text not null default 'on',
        template_table text, retention text, retention_schema text, retention_keep_index boolean not null default true,
        retention_keep_table boolean not null default true, epoch text not null default 'none', constraint_cols text[],
        optimize_constraint int not null default 30, infinite_time_partitions boolean not null default false,
        datetime_string text, jobmon boolean not null default true, sub_partition_set_full boolean not null default false,
        undo_in_progress boolean not null default false, inherit_privileges boolean default false,
        constraint_valid boolean default true not null, ignore_default_data boolean not null default true,
        default_table boolean default true, date_trunc_interval text, maintenance_order int,
        retention_keep_publication boolean not null default false, maintenance_last_run timestamptz
    );";

/// Sets as pg_partman 5 makes and names them: by time, by numbers, by numbers that are times, and a list.
const SETS_OF_PARTMAN_5: &str = "
    create table logs (at timestamptz not null, note text) partition by range (at);
    create table logs_p20260101 partition of logs for values from ('2026-01-01') to ('2026-02-01');
    create table logs_p20260201 partition of logs for values from ('2026-02-01') to ('2026-03-01');
    create table logs_default partition of logs default;
    create table ids (id bigint not null) partition by range (id);
    create table ids_p0 partition of ids for values from (0) to (1000);
    create table ids_p1000 partition of ids for values from (1000) to (2000);
    create table ticks (sec bigint not null) partition by range (sec);
    create table ticks_p20260101 partition of ticks for values from (1767225600) to (1767312000);
    create table codes (code int not null) partition by list (code);
    create table codes_p1 partition of codes for values in (1);
    create table quiet (at date not null) partition by range (at);
    create table quiet_p20260101 partition of quiet for values from ('2026-01-01') to ('2026-02-01');
    insert into partman.part_config (parent_table, control, partition_interval, partition_type, premake, retention,
        retention_keep_table, retention_schema, epoch, template_table, automatic_maintenance) values
        ('public.logs', 'at', '1 mon', 'range', 6, '18 mons', false, null, 'none', 'partman.template_public_logs', 'on'),
        ('public.ids', 'id', '1000', 'range', 4, '5000', false, 'attic', 'none', null, 'on'),
        ('public.ticks', 'sec', '1 day', 'range', 4, '30 days', false, null, 'seconds', null, 'on'),
        ('public.codes', 'code', '1', 'list', 4, null, true, null, 'none', null, 'on'),
        ('public.quiet', 'at', '1 mon', 'range', 2, null, true, null, 'none', null, 'off');";

#[tokio::test(flavor = "multi_thread")]
async fn sets_in_the_layout_of_pg_partman_5_are_taken_over() {
    // An extension can be found in a folder of one's own since 18.
    let Some(binaries) = testkit::versions().into_iter().find(|b| b.major >= 18) else { return };
    let server = testkit::server(binaries.major);
    let world = World::on(server).await;
    let folder = tempfile::Builder::new().prefix("pgwright_partman_").tempdir_in("/tmp").unwrap();
    let extensions = folder.path().join("extension");
    std::fs::create_dir(&extensions).unwrap();
    let control = extensions.join("pg_partman.control");
    std::fs::write(&control, "default_version = '5.1.0'\nrelocatable = false\n").unwrap();
    let script = extensions.join("pg_partman--5.1.0.sql");
    std::fs::write(&script, PARTMAN_5).unwrap();
    let owner = std::fs::metadata(server.data_dir()).unwrap().uid();
    for path in [folder.path(), &extensions, &control, &script] {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    world
        .load(&format!(
            "set extension_control_path = '{}:$system'; create schema partman; \
             create extension pg_partman schema partman; {SETS_OF_PARTMAN_5}",
            folder.path().display()
        ))
        .await;
    let user = User::new();
    let url = world.url.as_str();
    let before = world.schema_dump().await;
    let adopted = user
        .run(&["partition", "adopt", "--write", url])
        .exits(0)
        .tells("public.ticks: pg_partman takes its keys for seconds since 1970 and divides them by 1 day")
        .tells("public.ids: pg_partman moves old partitions into schema attic")
        .tells("public.logs: What pg_partman's template partman.template_public_logs has beyond the table")
        .tells("public.quiet: pg_partman's maintenance of it is off");
    assert_eq!(adopted.stderr.matches("pg_partman looks after it as well").count(), 4, "{adopted}");
    assert_eq!(world.schema_dump().await, before);
    let written = std::fs::read_to_string(user.file("pgwright.toml")).unwrap();
    for set in [
        "table = \"public.logs\"\ninterval = \"1 month\"\ntime_zone = \"UTC\"\npremake = 6\nretention = \"18 months\"\n\
         then = \"drop\"\nnaming = \"{table}_p{YYYY}{MM}{DD}\"\n",
        "table = \"public.ids\"\ninterval = \"1000\"\npremake = 4\nretention = \"5000\"\n\
         then = \"detach\"\nnaming = \"{table}_p{n}\"\n",
        "table = \"public.ticks\"\ninterval = \"86400\"\n",
        "table = \"public.quiet\"\ninterval = \"1 month\"\ntime_zone = \"UTC\"\npremake = 2\n",
    ] {
        assert!(written.contains(set), "{set}\nis not in\n{written}");
    }
    // What was written can be run, and new partitions are called as pg_partman calls them.
    user.run(&["partition", "run", "--execute", url]).exits(0);
    let named = "select count(*) from pg_inherits where inhparent = 'logs'::regclass \
                 and inhrelid::regclass::text = to_char(date_trunc('month', now() at time zone 'UTC'), '\"logs_p\"YYYYMMDD')";
    assert_eq!(world.value(named).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pgslice_and_hands_have_made_is_taken_over() {
    for server in testkit::servers() {
        let world = World::on(server).await;
        world
            .load(
                r#"create table visits (id bigint, created_at date not null) partition by range (created_at);
                   comment on table visits is 'column:created_at,period:month,cast:date,version:3';
                   create table visits_202602 partition of visits for values from ('2026-02-01') to ('2026-03-01');
                   create table "Visits, new" (id bigint, "at,period:day" timestamptz not null) partition by range ("at,period:day");
                   comment on table "Visits, new" is 'column:at,period:day,period:day,cast:timestamptz,version:3';
                   create table talk (at date not null) partition by range (at);
                   comment on table talk is 'column:elsewhere,period:month,cast:date,version:3';
                   create table by_hand (at timestamp not null) partition by range (at);
                   create table "erstes Jahr" partition of by_hand for values from ('2011-01-01') to ('2012-01-01');
                   create table "zweites Jahr" partition of by_hand for values from ('2012-01-01') to ('2013-01-01');
                   create table "alt" partition of by_hand for values from (minvalue) to ('2011-01-01');
                   create table "Sommerferien" partition of by_hand for values from ('2013-07-04') to ('2013-08-15')"#,
            )
            .await;
        let user = User::new();
        let url = world.url.as_str();
        let before = world.schema_dump().await;
        user.run(&["partition", "adopt", "--write", url])
            .exits(0)
            .tells("public.visits: pgslice made it")
            .tells("public.\"Visits, new\": pgslice made it")
            .tells("public.talk: The partitions of public.talk follow no rule")
            .tells("Partition public.\"Sommerferien\" does not lie on the grid of 1 year; it stays as it is")
            .tells("The names of the partitions follow no known pattern");
        let written = std::fs::read_to_string(user.file("pgwright.toml")).unwrap();
        for set in [
            "table = \"public.visits\"\ninterval = \"1 month\"\ntime_zone = \"UTC\"\npremake = 4\nnaming = \"{table}_{YYYY}{MM}\"\n",
            "table = 'public.\"Visits, new\"'\ninterval = \"1 day\"\nnaming = \"{table}_{YYYY}{MM}{DD}\"\n",
            "table = \"public.by_hand\"\ninterval = \"1 year\"\n",
        ] {
            assert!(written.contains(set), "{set}\nis not in\n{written}");
        }
        assert_eq!(world.schema_dump().await, before);
        // The hand's bounds stay, and what they leave free is filled up to the next.
        user.run(&["partition", "run", "--execute", url]).exits(0);
        let bounds = "select string_agg(pg_get_expr(relpartbound, oid), ' | ' order by relname) from pg_class \
                      where oid in (select inhrelid from pg_inherits where inhparent = 'by_hand'::regclass) \
                      and relname ~ '^by_hand_2013'";
        let found = world.value(bounds).await;
        assert!(found.starts_with("FOR VALUES FROM ('2013-01-01 00:00:00') TO ('2013-07-04 00:00:00') | FOR VALUES FROM ('2013-08-15"), "{found}");
        let days = "select count(*) from pg_inherits where inhparent = '\"Visits, new\"'::regclass";
        assert_eq!(world.value(days).await, "5");
        user.run(&["partition", "plan", url]).exits(0).tells("there is nothing to do");
        // pgwright has made tables of its own meanwhile, which nobody asked for.
        assert_ne!(
            world.value("select count(*) from pg_class where relname = 'history_value_raw'").await,
            "0"
        );
        for command in ["list", "adopt"] {
            let told = user.run(&["partition", command, url]).exits(0);
            assert!(
                !told.stdout.contains("pgwright.history") && !told.stderr.contains("pgwright.history"),
                "{told}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_partitions_move_to_the_tablespace_of_their_age() {
    let server = crate::world::oldest();
    let world = World::on(server).await;
    // A path that the server's account may pass through, and a directory of its own.
    let folder = tempfile::Builder::new().prefix("pgwright_cold_").tempdir_in("/tmp").unwrap();
    let owner = std::fs::metadata(server.data_dir()).unwrap().uid();
    let space = format!("cold \"{}", world.name);
    let quoted = format!("\"{}\"", space.replace('"', "\"\""));
    let location = folder.path().join("space");
    std::fs::create_dir(&location).unwrap();
    for path in [folder.path(), &location] {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    world.sql(&format!("create tablespace {quoted} location '{}'", location.display())).await;
    world
        .sql(
            "create table logs (at timestamptz not null, x int, primary key (at, x)) partition by range (at); \
             do $$ begin for n in 0..3 loop execute format('create table %I partition of logs for values from (%L) to (%L)', \
               'logs_' || to_char(date_trunc('month', now()) - n * interval '1 month', 'YYYY_MM'), \
               date_trunc('month', now()) - n * interval '1 month', \
               date_trunc('month', now()) - (n - 1) * interval '1 month'); end loop; end $$; \
             insert into logs select date_trunc('month', now()) - n * interval '1 month', n from generate_series(0, 3) n; \
             analyze logs",
        )
        .await;
    let user = User::new();
    let url = world.url.as_str();
    user.write(
        "pgwright.toml",
        format!("[[partition_set]]\ntable = \"logs\"\ninterval = \"1 month\"\npremake = 0\ntablespace_by_age = {{ \"1 month\" = '{space}' }}\n"),
    );
    let shown = user.run(&["partition", "plan", url]).exits(0);
    // The partitions of two and three months before this one have been full for a month or more.
    assert_eq!(shown.stdout.matches(&format!(" SET TABLESPACE {quoted}")).count(), 2, "{}", shown.stdout);
    user.run(&["partition", "run", "--execute", url]).exits(0);
    let moved = "select string_agg(c.relname, ' ' order by c.relname) from pg_class c \
                 join pg_tablespace s on s.oid = c.reltablespace where s.spcname ~ '^cold' and c.relkind = 'r'";
    let expected = "select string_agg('logs_' || to_char(date_trunc('month', now()) - n * interval '1 month', 'YYYY_MM'), \
                    ' ' order by n desc) from generate_series(2, 3) n";
    assert_eq!(world.value(moved).await, world.value(expected).await);
    assert_eq!(world.value("select count(*) from logs").await, "4");
    user.run(&["partition", "plan", url]).exits(0).tells("there is nothing to do");
    world.sql("drop table logs").await;
    world.sql(&format!("drop tablespace {quoted}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uuids_are_shown_as_the_times_that_they_stand_for() {
    let user = User::new();
    let world = World::new().await;
    // 2026-01-01 and 2026-02-01 are 019b76da-a800 and 019c167f-cc00 milliseconds after 1970.
    world
        .load(
            r#"create table "a""b.c" (id uuid primary key) partition by range (id);
               create table p partition of "a""b.c" for values from ('019b76da-a800-0000-0000-000000000000')
                   to ('019c167f-cc00-0000-0000-000000000000')"#,
        )
        .await;
    let one = user.run(&["partition", "list", "\"a\"\"b.c\"", &world.url]).exits(0);
    assert!(one.stdout.contains("2026-01-01 00:00:00+00 to 2026-02-01 00:00:00+00"), "{}", one.stdout);
    assert!(!one.stdout.contains("019b76da"), "{}", one.stdout);
    let all = user.run(&["partition", "list", &world.url]).exits(0);
    assert!(all.stdout.contains("2026-02-01 00:00:00+00") && !all.stdout.contains("019c"), "{}", all.stdout);
    let json = user.run(&["partition", "list", "--json", &world.url]).exits(0).json("partition_list");
    let partition = &json["tables"][0]["partitions"][0];
    assert!(partition["bound"].as_str().unwrap().contains("019b76da-a800"), "{partition}");
    assert_eq!(partition["times"], "2026-01-01 00:00:00+00 to 2026-02-01 00:00:00+00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_is_analyzed_when_nobody_has_and_again_when_it_has_grown() {
    for binaries in testkit::versions() {
        let user = User::new();
        let world = World::on(testkit::server(binaries.major)).await;
        world
            .sql(
                "create table r (id int primary key) partition by range (id); \
                 create table r_0 partition of r for values from (0) to (1000000)",
            )
            .await;
        let run = || {
            user.run(&[
                "partition",
                "run",
                "r",
                "--interval",
                "1000000",
                "--premake",
                "0",
                "--execute",
                &world.url,
            ])
        };
        run().exits(0).tells("0 of 0 steps done");
        // Never analyzed: autovacuum is off, as it is for a partition that was filled a moment ago.
        world.sql("insert into r select generate_series(1, 100)").await;
        run().exits(0).tells("1 of 1 steps done");
        run().exits(0).tells("0 of 0 steps done");
        world.sql("insert into r select generate_series(101, 1000); analyze r_0").await;
        if binaries.major < 14 {
            continue;
        }
        let listed = user.run(&["partition", "list", "r", &world.url]).exits(0);
        assert!(
            listed.stdout.contains("when it had 100 rows, and its partitions have 1000"),
            "{}",
            listed.stdout
        );
        run().exits(0).tells("1 of 1 steps done");
        run().exits(0).tells("0 of 0 steps done");
    }
}
