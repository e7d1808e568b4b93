//! Does pgwright know what it may do, for roles from superuser down to one that may do nothing, and
//! what is going on around it?

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use cluster::{Server, ServerOptions};
use postgres::catalog::{SessionLooks, SessionState, blockers, create_index_progress, old_transactions};
use postgres::looking::Looker;
use postgres::{Capabilities, Error, ExplainOptions, Session, SessionOptions, explain, statements};

use crate::{session, target};

async fn as_role(url: &str, role: &str) -> Session {
    target(&url.replace("postgres@", &format!("{role}@"))).connect(&SessionOptions::default()).await.unwrap()
}

#[tokio::test]
async fn privileges_decide_what_is_visible() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let admin = testkit::connect(&database.url).await;
        let suffix = &database.name;
        admin
            .batch_execute(&format!(
                "CREATE EXTENSION pg_stat_statements; CREATE ROLE nobody_{suffix} LOGIN; \
                 CREATE ROLE watcher_{suffix} LOGIN IN ROLE pg_monitor; SELECT 'of the superuser'"
            ))
            .await
            .unwrap();

        let open = session(&database.url).await;
        let all = Capabilities::read(&open).await.unwrap();
        assert!(all.superuser && all.pg_monitor && all.can_create_in_database && !all.in_recovery);
        assert!(!all.encrypted && !all.auto_explain_loaded && !all.behind_pooler);
        assert_eq!(all.major(), server.binaries().major);
        assert!(all.has_extension("pg_stat_statements") && all.has_extension("plpgsql"));
        let s = &all.pg_stat_statements;
        assert!(s.available && s.preloaded && s.readable() && s.others_visible && s.hidden == 0);
        assert_eq!(all.setting("pg_stat_statements.track"), Some("top"));
        assert_eq!(all.setting("track_io_timing"), Some("off"));
        assert!(all.version.starts_with(&server.binaries().major.to_string()));

        let watcher = as_role(&database.url, &format!("watcher_{suffix}")).await;
        let some = Capabilities::read(&watcher).await.unwrap();
        assert!(!some.superuser && some.pg_monitor && some.pg_read_all_stats && !some.can_create_in_database);
        assert!(some.pg_stat_statements.others_visible && some.pg_stat_statements.hidden == 0);
        let (texts, _) = statements::read(&watcher).await.unwrap();
        assert!(texts.iter().any(|s| s.query.contains("CREATE ROLE")));

        let nobody = as_role(&database.url, &format!("nobody_{suffix}")).await;
        let none = Capabilities::read(&nobody).await.unwrap();
        assert!(!none.pg_monitor && !none.pg_read_all_stats && !none.pg_read_all_data);
        assert!(!none.pg_stat_statements.others_visible && none.pg_stat_statements.hidden > 0);
        assert!(none.pg_stat_statements.readable() && none.pg_stat_statements.preloaded);
        assert_eq!(none.shared_preload_libraries, "");
        let (texts, _) = statements::read(&nobody).await.unwrap();
        assert!(texts.iter().all(|s| !s.query.contains("CREATE ROLE")));

        admin.batch_execute("REVOKE SELECT ON pg_stat_statements FROM PUBLIC").await.unwrap();
        let error = statements::read(&nobody).await.unwrap_err();
        assert!(
            matches!(&error, Error::PrivilegeDenied { object, .. } if object == "view pg_stat_statements"),
            "{error:?}"
        );
        assert_eq!(error.sqlstate(), Some("42501"));

        admin.batch_execute("DROP EXTENSION pg_stat_statements").await.unwrap();
        let error = statements::read(&open).await.unwrap_err();
        assert!(
            matches!(&error, Error::ExtensionMissing { name, .. } if name == "pg_stat_statements"),
            "{error:?}"
        );
        let missing = Capabilities::read(&open).await.unwrap().pg_stat_statements;
        assert!(missing.available && missing.preloaded && missing.installed.is_none() && !missing.readable());
        assert!(missing.unreadable.unwrap().hint.unwrap().contains("CREATE EXTENSION pg_stat_statements"));
    }
}

#[tokio::test]
async fn an_extension_that_was_not_preloaded_is_said_to_be_so() {
    for binaries in testkit::versions() {
        let server = testkit::server_with(binaries.major, &[("shared_preload_libraries", "")]);
        let admin = testkit::connect(&server.url("postgres")).await;
        admin.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        let open = session(&server.url("postgres")).await;
        let error = statements::read(&open).await.unwrap_err();
        assert!(matches!(&error, Error::NotPreloaded { name } if name == "pg_stat_statements"), "{error:?}");
        assert!(error.hint().unwrap().contains("restart"));
        let capability = Capabilities::read(&open).await.unwrap().pg_stat_statements;
        assert!(capability.installed.is_some() && !capability.preloaded && !capability.readable());
    }
}

#[tokio::test]
async fn a_standby_is_recognized_and_can_be_read() {
    for binaries in testkit::versions() {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let data_dir = directory.path().join("data");
        let options =
            ServerOptions { data_dir: Some(data_dir.clone()), ..ServerOptions::default() }.throw_away();
        let primary = Server::start(&binaries, options.clone()).unwrap();
        let client = testkit::connect(&primary.url("postgres")).await;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
        drop(client);
        primary.stop().unwrap();
        // With nobody to follow it replays what it has and waits, open for reading.
        std::fs::write(data_dir.join("standby.signal"), "").unwrap();
        let owner = std::fs::metadata(&data_dir).unwrap();
        std::os::unix::fs::chown(data_dir.join("standby.signal"), Some(owner.uid()), Some(owner.gid()))
            .unwrap();
        let standby = Server::start(&binaries, options).unwrap();
        let open = session(&standby.url("postgres")).await;
        assert!(Capabilities::read(&open).await.unwrap().in_recovery);
        let snapshot = postgres::snapshot::read_without_schema(&open, Duration::from_secs(5)).await.unwrap();
        assert!(snapshot.server.in_recovery && snapshot.relations.len() == 1);
        let plan = explain(&open, "SELECT * FROM public.t", &ExplainOptions::analyze()).await.unwrap();
        assert!(plan["Plan"]["Actual Rows"].as_f64() == Some(0.0));
        for (wanted, suits) in
            [("standby", true), ("read-only", true), ("primary", false), ("read-write", false)]
        {
            let target = target(&format!("{}?target_session_attrs={wanted}", standby.url("postgres")));
            assert_eq!(target.connect(&SessionOptions::default()).await.is_ok(), suits, "{wanted}");
        }
    }
}

#[tokio::test]
async fn volatile_functions_are_found_by_name() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let open = session(&database.url).await;
        open.batch_execute(
            "CREATE FUNCTION public.writes() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'; \
             CREATE FUNCTION public.reads() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'",
        )
        .await
        .unwrap();
        let names = ["reads", "writes", "public.writes", "lower", "random", "no_such"].map(str::to_owned);
        let found = postgres::catalog::volatile_functions(&open, &names).await.unwrap();
        assert_eq!(found, ["public.writes", "random", "writes"]);
    }
}

#[tokio::test]
async fn who_blocks_whom_and_how_far_an_index_is() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let open = session(&database.url).await;
        let version = open.version_num();
        let holder = testkit::connect(&database.url).await;
        let create = "CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000)";
        holder.batch_execute(create).await.unwrap();
        holder.batch_execute("BEGIN; UPDATE t SET id = 0 WHERE id = 1").await.unwrap();
        let builder = testkit::connect(&database.url).await;
        let holder_pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let builder_pid: i32 = builder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        assert!(create_index_progress(&open, version, builder_pid).await.unwrap().is_none());
        let building =
            tokio::spawn(
                async move { builder.batch_execute("CREATE INDEX CONCURRENTLY t_id ON t (id)").await },
            );
        let mut waiting = None;
        for _ in 0..200 {
            let progress = create_index_progress(&open, version, builder_pid).await.unwrap();
            waiting = progress.filter(|p| p.phase.starts_with("waiting for writers"));
            if waiting.is_some() && !blockers(&open, version, builder_pid).await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let waiting = waiting.expect("the build never waited");
        assert_eq!(waiting.command, "CREATE INDEX CONCURRENTLY");
        let blocked_by = blockers(&open, version, builder_pid).await.unwrap();
        assert_eq!(blocked_by.iter().map(|b| b.pid).collect::<Vec<_>>(), [holder_pid]);
        assert_eq!(blocked_by[0].state.as_deref(), Some("idle in transaction"));
        let old = old_transactions(&open, version).await.unwrap();
        assert_eq!(old[0].pid, holder_pid, "{old:?}");
        assert!(old[0].backend_xid.is_some());
        holder.batch_execute("COMMIT").await.unwrap();
        building.await.unwrap().unwrap();
        assert!(old_transactions(&open, version).await.unwrap().iter().all(|t| t.pid != holder_pid));
    }
}

#[tokio::test]
async fn sessions_are_looked_at_while_catalogs_are_locked() {
    for binaries in testkit::all_servers().iter().map(|server| server.binaries()) {
        // A server of its own: the catalogs of all databases are locked.
        let server = Server::start(binaries, ServerOptions::default()).unwrap();
        let url = server.url("postgres");
        let open = session(&url).await;
        let looks = SessionLooks::through(&open).await.unwrap();
        let holder = testkit::connect(&url).await;
        holder
            .batch_execute(
                "SET allow_system_table_mods = on; BEGIN; LOCK TABLE pg_catalog.pg_class, pg_catalog.pg_attribute, \
                 pg_catalog.pg_database, pg_catalog.pg_authid, pg_catalog.pg_proc IN ACCESS EXCLUSIVE MODE",
            )
            .await
            .unwrap();
        let seen =
            tokio::time::timeout(Duration::from_secs(30), looks.look(&open, None)).await.unwrap().unwrap();
        let [found] = seen.sessions.as_slice() else { panic!("{seen:?}") };
        assert_eq!((found.state, Some(found.datid)), (SessionState::Idle, looks.datid));
        holder.batch_execute("ROLLBACK").await.unwrap();
        // Sessions that have been idle for longer are left out; the time is always there.
        let later = looks.look(&open, Some(seen.now + Duration::from_secs(3600))).await.unwrap();
        assert!(later.sessions.is_empty() && later.now > seen.now, "{later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_of_the_time_it_was_asked_for_whenever_its_answer_is_taken() {
    for server in testkit::servers() {
        let url = testkit::database(server).await.url;
        let busy = testkit::connect(&url).await;
        let target = target(&url);
        let looking = std::thread::spawn(move || {
            let looker =
                Looker::connect(&target, &SessionOptions::default(), Duration::from_secs(30)).unwrap();
            // Nothing is taken for a while after the first was asked for.
            let seen = looker.look_over(None, || std::thread::sleep(Duration::from_secs(1))).unwrap();
            (seen, looker.look(None).unwrap())
        });
        let (first, second) = looking.join().unwrap();
        let apart = second.now - first.now;
        assert!(apart.num_milliseconds() >= 900, "{apart}");
        assert!(!first.sessions.is_empty(), "{first:?}");
        drop(busy);
    }
}

#[tokio::test]
async fn a_look_tells_states_waits_and_times_of_each_session() {
    for binaries in testkit::all_servers().iter().map(|server| server.binaries()) {
        let server = Server::start(binaries, ServerOptions::default().set("compute_query_id", "on"))
            .unwrap_or_else(|_| {
                // Before 14 there is no such setting, and no number.
                Server::start(binaries, ServerOptions::default()).unwrap()
            });
        let url = server.url("postgres");
        let open = session(&url).await;
        let looks = SessionLooks::through(&open).await.unwrap();
        let (holder, idle, failed) =
            (testkit::connect(&url).await, testkit::connect(&url).await, testkit::connect(&url).await);
        let waiting = testkit::connect(&url).await;
        let mut pids = Vec::new();
        for client in [&holder, &idle, &failed, &waiting] {
            let pid = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await.unwrap();
            pids.push(pid.get::<_, i32>(0));
        }
        holder.batch_execute("BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(1)").await.unwrap();
        failed.batch_execute("BEGIN; SELECT 1/0").await.unwrap_err();
        let waits = waiting.batch_execute("SELECT pg_catalog.pg_advisory_lock(1)");
        let looked = async {
            loop {
                let seen = looks.look(&open, None).await.unwrap();
                if seen.sessions.iter().any(|s| s.wait.as_deref() == Some("Lock: advisory")) {
                    break seen;
                }
            }
        };
        let mut waits = std::pin::pin!(waits);
        let seen = tokio::select! {
            seen = looked => seen,
            _ = &mut waits => panic!("it had to wait"),
        };
        let of = |at: usize| seen.sessions.iter().find(|s| s.pid == pids[at]).unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|at| of(at).state),
            [SessionState::Idle, SessionState::Idle, SessionState::Other, SessionState::Active]
        );
        assert_eq!([0, 1, 2].map(|at| of(at).wait.clone()), [None, None, None]);
        let now = seen.now.timestamp_micros();
        for at in 0..4 {
            let (began, changed) = (of(at).query_start_us.unwrap(), of(at).state_change_us.unwrap());
            assert!(now - 60_000_000 < began && began <= changed && changed <= now, "{:?}", of(at));
            assert_eq!(of(at).query_id.is_some(), binaries.major >= 14, "{:?}", of(at));
        }
        // A role without rights sees that they are there, and no more.
        idle.batch_execute("CREATE ROLE nobody LOGIN").await.unwrap();
        let blind = session(&format!("{url}?options=-crole=nobody")).await;
        let seen = SessionLooks::through(&blind).await.unwrap().look(&blind, None).await.unwrap();
        let of = |at: usize| seen.sessions.iter().find(|s| s.pid == pids[at]).unwrap();
        for at in 0..4 {
            assert_eq!((of(at).state, of(at).query_start_us), (SessionState::Hidden, None), "{:?}", of(at));
        }
        holder.batch_execute("COMMIT").await.unwrap();
        waits.await.unwrap();
    }
}

/// Pages that a process was given anew, `minflt` of `/proc/PID/stat`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn new_pages(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(7).unwrap().parse().unwrap()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn the_memory_of_a_look_is_kept_for_the_next() {
    for binaries in testkit::all_servers().iter().map(|server| server.binaries()) {
        let server = Server::start(binaries, ServerOptions::default().set("max_connections", "300")).unwrap();
        let url = server.url("postgres");
        let open = session(&url).await;
        let pid = open.query_one("SELECT pg_catalog.pg_backend_pid()::text", &[]).await.unwrap();
        let pid: String = pid.get(0);
        let looks = SessionLooks::through(&open).await.unwrap();
        for _ in 0..20 {
            looks.look(&open, None).await.unwrap();
        }
        let before = new_pages(&pid);
        for _ in 0..50 {
            looks.look(&open, None).await.unwrap();
        }
        let each = (new_pages(&pid) - before) as f64 / 50.0;
        assert!(each < 5.0, "{each} pages a look on {}", binaries.major);
    }
}
