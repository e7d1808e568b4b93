//! Tables of connection strings and environments, and what they resolve to.

use super::*;

fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment {
        vars: vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        home: None,
        user: Some("me".into()),
    }
}

fn check(conninfo: Option<&str>, vars: &[(&str, &str)], expected: &str) {
    let target = Target::parse(conninfo, &environment(vars)).unwrap();
    assert_eq!(target.to_string(), expected, "{conninfo:?}");
}

#[test]
fn the_string_wins_over_the_environment() {
    check(Some("postgres://h/d"), &[], "postgres://me@h:5432/d");
    check(
        None,
        &[("PGHOST", "h"), ("PGPORT", "6"), ("PGUSER", "u"), ("PGDATABASE", "d")],
        "postgres://u@h:6/d",
    );
    check(Some("host=x user=y"), &[("PGHOST", "h"), ("PGPORT", "6")], "postgres://y@x:6/y");
    check(Some("orders"), &[("PGHOST", "h")], "postgres://me@h:5432/orders");
    check(
        Some("postgres://h1,h2/d"),
        &[("PGPORT", "7"), ("PGSSLMODE", "require")],
        "postgres://me@h1:7,h2:7/d?sslmode=require",
    );
    check(Some("host=/tmp/s port=1 dbname='a b'"), &[], "postgres://me@%2Ftmp%2Fs:1/a%20b");
}

#[test]
fn the_password_is_never_shown() {
    let target = Target::parse(Some("postgres://u:top%40secret@h/d"), &environment(&[])).unwrap();
    assert_eq!(target.to_string(), "postgres://u:***@h:5432/d");
    assert_eq!(format!("{target:?}"), "Target(postgres://u:***@h:5432/d)");
    let child: BTreeMap<_, _> = target.libpq_environment().into_iter().collect();
    assert_eq!(child["PGPASSWORD"].as_deref(), Some("top@secret"));
    assert_eq!(child["PGHOST"].as_deref(), Some("h"));
    assert_eq!(child["PGSERVICE"], None, "a service of the parent must not override");
    assert_eq!(child["PGOPTIONS"], None);
    assert_eq!(target.with_database("other").to_string(), "postgres://u:***@h:5432/other");
}

#[test]
#[cfg(unix)]
fn files_of_the_home_directory_are_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let passfile = home.path().join(".pgpass");
    std::fs::write(&passfile, "h2:*:d:svc:second\nlocalhost:5432:*:*:local\n").unwrap();
    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(home.path().join(".pg_service.conf"), "[s]\nhost=h1,h2\ndbname=d\nuser=svc\n").unwrap();
    let environment = Environment { home: Some(home.path().into()), ..environment(&[("PGUSER", "ignored")]) };
    let target = Target::parse(Some("service=s"), &environment).unwrap();
    assert_eq!(target.user(), "svc", "the service file wins over the environment");
    let passwords: Vec<_> = target.endpoints.iter().map(|e| e.password.as_deref()).collect();
    assert_eq!(passwords, [None, Some("second")]);
    let socket = Target::parse(Some("host=/var/run/postgresql"), &environment).unwrap();
    assert_eq!(socket.endpoints[0].password.as_deref(), Some("local"));

    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o644)).unwrap();
    let target = Target::parse(Some("service=s"), &environment).unwrap();
    assert!(target.endpoints.iter().all(|e| e.password.is_none()));
    assert!(target.passfile_note().unwrap().contains("0600"));
}

#[test]
fn nonsense_is_named() {
    for (conninfo, message) in [
        ("port=x", "invalid port number: \"x\""),
        ("port=0", "invalid port number: \"0\""),
        ("sslmode=maybe", "invalid sslmode value: \"maybe\""),
        ("connect_timeout=soon", "invalid integer value \"soon\" for connection option \"connect_timeout\""),
        ("host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts"),
        ("host=a,b hostaddr=127.0.0.1", "could not match 2 host names to 1 hostaddr values"),
        ("hostaddr=nowhere", "invalid hostaddr value: \"nowhere\""),
        ("target_session_attrs=any-old", "invalid target_session_attrs value: \"any-old\""),
        ("service=missing", "definition of service \"missing\" not found"),
    ] {
        let error = Target::parse(Some(conninfo), &environment(&[])).unwrap_err();
        assert_eq!(error.to_string(), message, "{conninfo}");
    }
    let nobody = Environment::default();
    assert!(Target::parse(None, &nobody).is_err());
}
