//! Do servers start, answer, stop, and leave nothing behind? Asked of every version on this machine.

#![allow(clippy::unwrap_used)] // A test says what it expects by unwrapping.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Binaries, Error, Search, Server, ServerOptions};

fn versions() -> Vec<Binaries> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/postgres");
    let extra = fs::read_dir(cache).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    let all = Binaries::discover(&Search { explicit: None, path: std::env::var_os("PATH"), extra });
    assert!(!all.is_empty(), "no PostgreSQL server programs on this machine");
    all
}

fn ask(url: &str, sql: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.map_err(|e| format!("{e:?}"))?;
        let driver = tokio::spawn(connection);
        let row = client.query_one(sql, &[]).await.map_err(|e| format!("{e:?}"))?;
        drop(client);
        let _ = driver.await;
        Ok(row.get(0))
    })
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn runs(pid: u32) -> bool {
    // A process that nobody waited for yet counts as gone.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit_once(')').is_some_and(|(_, r)| r.trim_start().starts_with('Z')))
}

#[test]
fn every_version_starts_answers_and_leaves_nothing() {
    for binaries in versions() {
        let options = ServerOptions { tcp: true, ..ServerOptions::default() }
            .throw_away()
            .set("work_mem", "5MB")
            .set("application_name", "it's a \\ test");
        let server = Server::start(&binaries, options).unwrap();
        let major = ask(&server.url("postgres"), "show server_version").unwrap();
        assert!(binaries.version.starts_with(major.split(' ').next().unwrap()), "{major}");
        assert_eq!(ask(&server.url("postgres"), "show work_mem").unwrap(), "5MB");
        assert_eq!(ask(&server.url("postgres"), "show server_encoding").unwrap(), "UTF8");
        let tcp = server.tcp_url("postgres").unwrap();
        assert_eq!(ask(&tcp, "select 'by password'").unwrap(), "by password");
        let without = tcp.replace(&format!("@127.0.0.1:{}", server.port()), "@127.0.0.1:PORT");
        let (before, _) = without.rsplit_once(':').unwrap();
        let wrong =
            format!("{}:wrong@127.0.0.1:{}/postgres", before.rsplit_once(':').unwrap().0, server.port());
        assert!(ask(&wrong, "select 'no'").unwrap_err().contains("password"));
        let (base, pid) = (server.socket_dir().parent().unwrap().to_path_buf(), server.pid().unwrap());
        assert!(base.exists() && runs(pid));
        server.stop().unwrap();
        assert!(!base.exists() && !runs(pid));
    }
}

#[test]
fn data_outlive_the_server_and_settings_change_at_restart() {
    let binaries = versions().pop().unwrap();
    let parent = world_directory();
    let data_dir = parent.path().join("data");
    let options = || ServerOptions { data_dir: Some(data_dir.clone()), ..ServerOptions::default() };
    let mut server = Server::start(&binaries, options()).unwrap();
    ask(&server.url("postgres"), "with x as (select set_config('a.b', 'c', false)) select * from x").unwrap();
    match Server::start(&binaries, options()) {
        Err(Error::InUse { pid, .. }) => assert_eq!(Some(pid), server.pid()),
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(&server.url("postgres"), "select 'not disturbed'").unwrap(), "not disturbed");
    server.restart(&[("max_connections".into(), "7".into())]).unwrap();
    assert_eq!(ask(&server.url("postgres"), "show max_connections").unwrap(), "7");
    let socket = server.socket_dir().to_path_buf();
    drop(server);
    assert!(data_dir.join("PG_VERSION").exists() && !socket.exists());

    // As after a crash whose process id a stranger has now.
    fs::write(data_dir.join("postmaster.pid"), format!("{}\n{}\n", std::process::id(), data_dir.display()))
        .unwrap();
    let server = Server::start(&binaries, options()).unwrap();
    assert_eq!(ask(&server.url("postgres"), "show max_connections").unwrap(), "100");
    server.stop().unwrap();

    let other = Binaries { major: binaries.major + 1, ..binaries };
    assert!(matches!(Server::start(&other, options()), Err(Error::WrongMajor { .. })));
}

#[test]
fn a_server_that_does_not_start_says_why_and_leaves_nothing() {
    let binaries = versions().remove(0);
    let parent = world_directory();
    let with = |name: &str, value: &str| {
        let options = ServerOptions { parent_dir: parent.path().into(), ..ServerOptions::default() };
        Server::start(&binaries, options.set(name, value)).unwrap_err()
    };
    let error = with("shared_preload_libraries", "no_such_library");
    assert!(error.detail().unwrap().contains("no_such_library"), "{error:?}");
    assert!(error.hint().unwrap().contains("shared_preload_libraries"), "{error:?}");
    assert!(matches!(with("x'; drop", "1"), Error::SettingName { .. }));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_long_parent_directory_does_not_break_the_socket() {
    let binaries = versions().remove(0);
    let parent = world_directory();
    let long = parent.path().join("d".repeat(90));
    fs::create_dir(&long).unwrap();
    open_to_all(&long);
    let server =
        Server::start(&binaries, ServerOptions { parent_dir: long, ..ServerOptions::default() }).unwrap();
    assert_eq!(ask(&server.url("postgres"), "select 'here'").unwrap(), "here");
}

/// Plays two parts: the test starts its own program again as the owner of a server, and kills it.
#[test]
fn a_killed_owner_leaves_no_server_unless_it_said_so() {
    const PART: &str = "CLUSTER_TEST_OWNER";
    let binaries = versions().remove(0);
    if let Some(report) = std::env::var_os(PART) {
        let server = Server::start(&binaries, ServerOptions::default().throw_away()).unwrap();
        let leave = report.to_string_lossy().ends_with("leave");
        let (pid, data) = (server.pid().unwrap(), server.data_dir().to_path_buf());
        let held = if leave {
            server.leave_running();
            None
        } else {
            Some(server)
        };
        let text = format!("{pid}\n{}\n", data.display());
        fs::write(PathBuf::from(&report).with_extension("writing"), text).unwrap();
        fs::rename(PathBuf::from(&report).with_extension("writing"), report).unwrap();
        std::thread::sleep(Duration::from_secs(600));
        drop(held);
        return;
    }
    let reports = tempfile::tempdir().unwrap();
    for name in ["hold", "leave"] {
        let report = reports.path().join(name);
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_owner_leaves_no_server_unless_it_said_so"])
            .env(PART, &report)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the owner's report", || report.exists());
        owner.kill().unwrap(); // SIGKILL
        owner.wait().unwrap();
        let text = fs::read_to_string(&report).unwrap();
        let (pid, data_dir) = text.trim().split_once('\n').unwrap();
        let (pid, data_dir): (u32, PathBuf) = (pid.parse().unwrap(), data_dir.into());
        let base = data_dir.parent().unwrap().to_path_buf();
        if name == "leave" {
            std::thread::sleep(Duration::from_millis(500));
            let server = Server::attach(&binaries, &data_dir).unwrap();
            assert_eq!(ask(&server.url("postgres"), "select 'alive'").unwrap(), "alive");
            assert_eq!(server.pid(), Some(pid));
            drop(server);
            assert!(runs(pid));
            Server::attach(&binaries, &data_dir).unwrap().stop().unwrap();
            assert!(matches!(Server::attach(&binaries, &data_dir), Err(Error::NotRunning { .. })));
            fs::remove_dir_all(&base).unwrap();
        } else {
            eventually("the end of the server", || !runs(pid));
            eventually("the removal of its directory", || !base.exists());
        }
    }
}

/// A directory that the server's account can enter, whoever runs the test.
fn world_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    open_to_all(dir.path());
    dir
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
}
