//! Does every way in which a connection can fail say what it is, and does every `sslmode` do what
//! libpq's does?

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{Server, ServerOptions};
use postgres::{Environment, Error, SearchPath, SessionOptions, Target};

use crate::{oldest_server, session, target};

/// A server on TCP, with these lines as its `pg_hba.conf`.
async fn tcp_server(major: Option<u32>, hba: &str, settings: &[(&str, &str)]) -> Server {
    let versions = testkit::versions();
    let binaries = versions.iter().find(|b| major.is_none_or(|m| m == b.major)).unwrap();
    let mut options = ServerOptions { tcp: true, ..ServerOptions::default() }.throw_away();
    for (name, value) in settings {
        options = options.set(*name, *value);
    }
    let server = Server::start(binaries, options).unwrap();
    std::fs::write(server.data_dir().join("pg_hba.conf"), hba).unwrap();
    let client = testkit::connect(&server.url("postgres")).await;
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server
}

async fn refusal(conninfo: &str) -> Error {
    target(conninfo).connect(&SessionOptions::default()).await.unwrap_err()
}

const HBA: &str = "local all all trust\n\
                   host all nopass 127.0.0.1/32 trust\n\
                   host all hashed 127.0.0.1/32 md5\n\
                   host all rejected 127.0.0.1/32 reject\n\
                   host all all 127.0.0.1/32 scram-sha-256\n";

#[tokio::test]
async fn every_refusal_has_its_own_error() {
    for binaries in testkit::versions() {
        let server = tcp_server(Some(binaries.major), HBA, &[("max_connections", "10")]).await;
        let port = server.port();
        let admin = testkit::connect(&server.url("postgres")).await;
        admin
            .batch_execute(
                "CREATE ROLE app LOGIN PASSWORD 'right'; CREATE ROLE nopass LOGIN; CREATE ROLE sleeper NOLOGIN; \
                 CREATE ROLE limited LOGIN CONNECTION LIMIT 0 PASSWORD 'right'",
            )
            .await
            .unwrap();
        admin.batch_execute("CREATE DATABASE closed").await.unwrap();
        admin.batch_execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await.unwrap();
        let at = |user: &str, database: &str| format!("postgres://{user}@127.0.0.1:{port}/{database}");

        session(&at("app:right", "postgres")).await;

        let error = refusal(&at("app:wrong", "postgres")).await;
        assert!(
            matches!(&error, Error::WrongPassword { role, supplied: true, .. } if role == "app"),
            "{error:?}"
        );
        assert_eq!(error.to_string(), "password authentication failed for role \"app\"");
        assert_eq!(error.sqlstate(), Some("28P01"));

        let error = refusal(&at("app", "postgres")).await;
        assert!(matches!(&error, Error::WrongPassword { supplied: false, .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("PGPASSWORD"));

        let error = refusal(&at("nopass", "missing")).await;
        assert!(matches!(&error, Error::DatabaseMissing { database } if database == "missing"), "{error:?}");

        let missing = format!("postgres://ghost@{}:{port}/postgres", encode(server.socket_dir()));
        let error = refusal(&missing).await;
        assert!(matches!(&error, Error::RoleMissing { role } if role == "ghost"), "{error:?}");

        let sleeper = format!("postgres://sleeper@{}:{port}/postgres", encode(server.socket_dir()));
        let error = refusal(&sleeper).await;
        assert!(matches!(&error, Error::NotAdmitted { .. }), "{error:?}");
        assert!(error.detail().unwrap().contains("not permitted to log in"), "{error:?}");

        let error = refusal(&at("rejected", "postgres")).await;
        assert!(matches!(&error, Error::NotAdmitted { role, .. } if role == "rejected"), "{error:?}");
        assert!(error.hint().unwrap().contains("pg_hba.conf"));

        let error = refusal(&at("nopass", "closed")).await;
        assert!(
            matches!(&error, Error::PrivilegeDenied { object, .. } if object == "database \"closed\""),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("GRANT CONNECT"));

        let error = refusal(&at("limited:right", "postgres")).await;
        assert!(matches!(&error, Error::TooManyConnections { .. }), "{error:?}");
        assert_eq!(error.sqlstate(), Some("53300"));

        for mode in ["require", "verify-ca", "verify-full"] {
            let error = refusal(&format!("{}?sslmode={mode}", at("nopass", "postgres"))).await;
            assert!(matches!(&error, Error::TlsRefused { .. }), "{mode}: {error:?}");
        }
        for mode in ["disable", "allow", "prefer"] {
            session(&format!("{}?sslmode={mode}", at("nopass", "postgres"))).await;
        }

        // Every slot that is not reserved for superusers.
        let mut holders = Vec::new();
        let error = loop {
            match target(&at("nopass", "postgres")).connect(&SessionOptions::default()).await {
                Ok(session) => holders.push(session),
                Err(error) => break error,
            }
            assert!(holders.len() < 20);
        };
        assert!(matches!(&error, Error::TooManyConnections { .. }), "{error:?}");
        drop(holders);

        server.stop().unwrap();
        let error = refusal(&at("app:right", "postgres")).await;
        assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("could not connect to server at 127.0.0.1:{port}"));
        assert!(error.detail().unwrap().contains("refused"), "{error:?}");
    }
}

fn encode(path: &Path) -> String {
    path.to_str().unwrap().replace('/', "%2F")
}

#[tokio::test]
async fn hosts_that_do_not_answer_are_passed_over() {
    let server = oldest_server();
    let socket = server.socket_dir().display();
    let port = server.port();
    let text = format!("host=/nonexistent,{socket} port={port} user=postgres dbname=postgres");
    let open = session(&text).await;
    assert_eq!(open.target().host(), socket.to_string());
    let text = format!("host=/nonexistent,/neither port={port} user=postgres");
    let error = refusal(&text).await;
    let detail = error.detail().unwrap();
    assert!(detail.contains("/nonexistent") && detail.contains("/neither"), "{detail}");

    for (wanted, suits) in [
        ("primary", true),
        ("read-write", true),
        ("prefer-standby", true),
        ("standby", false),
        ("read-only", false),
    ] {
        let text = format!("host={socket} port={port} user=postgres target_session_attrs={wanted}");
        let opened = target(&text).connect(&SessionOptions::default()).await;
        assert_eq!(opened.is_ok(), suits, "{wanted}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hang_us() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let started = std::time::Instant::now();
    let error = refusal(&format!("host=127.0.0.1 port={port} user=x connect_timeout=2")).await;
    assert!(matches!(&error, Error::Unreachable { reason, .. } if reason.contains("timed out")), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_session_is_set_as_it_was_asked_to_be() {
    for server in testkit::servers() {
        let database = testkit::database(server).await;
        let options = SessionOptions {
            statement_timeout: Some(Duration::from_millis(1234)),
            lock_timeout: Some(Duration::from_secs(2)),
            idle_in_transaction_session_timeout: Some(Duration::from_secs(60)),
            read_only: true,
            ..SessionOptions::default()
        };
        let session = target(&database.url).connect(&options).await.unwrap();
        for (name, expected) in [
            ("statement_timeout", "1234ms"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "1min"),
            ("application_name", "pgwright"),
            ("search_path", "pg_catalog"),
            ("default_transaction_read_only", "on"),
            ("TimeZone", "UTC"),
        ] {
            let row = session.query_one("SELECT current_setting($1)", &[&name]).await.unwrap();
            assert_eq!(row.get::<_, String>(0), expected, "{name}");
        }
        let written = session.batch_execute("CREATE TABLE public.t ()").await.unwrap_err();
        assert_eq!(written.code().unwrap().code(), "25006");
        assert_eq!(session.version_num() / 10_000, i32::try_from(server.binaries().major).unwrap());
        let row = session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), session.backend_pid());
        assert!(!session.behind_pooler());

        let users = target(&database.url).connect(&SessionOptions::for_user_statements()).await.unwrap();
        let row = users.query_one("SHOW search_path", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), "\"$user\", public");
        let options = SessionOptions { search_path: SearchPath::Set("public".into()), ..options };
        let set = target(&database.url).connect(&options).await.unwrap();
        assert_eq!(set.query_one("SHOW search_path", &[]).await.unwrap().get::<_, String>(0), "public");
        set.batch_execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$").await.unwrap();
        let notices = set.take_notices();
        assert_eq!((notices[0].severity.as_str(), notices[0].message.as_str()), ("WARNING", "careful"));
    }
}

#[tokio::test]
async fn a_running_statement_can_be_canceled_and_timed_out() {
    let database = testkit::database(oldest_server()).await;
    let session = session(&database.url).await;
    let token = session.cancel_token();
    let (slept, ()) = tokio::join!(session.batch_execute("SELECT pg_sleep(30)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        token.cancel().await.unwrap();
    });
    let error = Error::from_query("sleep", &slept.unwrap_err());
    assert!(matches!(&error, Error::Timeout { sqlstate, .. } if sqlstate == "57014"), "{error:?}");

    let killer = testkit::connect(&database.url).await;
    let (lost, ()) = tokio::join!(session.batch_execute("SELECT pg_sleep(30)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        killer.execute("SELECT pg_terminate_backend($1)", &[&session.backend_pid()]).await.unwrap();
    });
    let error = Error::from_query("sleep", &lost.unwrap_err());
    assert!(matches!(&error, Error::ConnectionLost { .. }), "{error:?}");
}

/// A certificate authority, a certificate of `localhost`, and one that is its own authority.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
        write("ca.crt", authority.pem());
        let stranger = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        write("stranger.crt", stranger.pem());
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        write("server.crt", server.pem());
        write("server.key", key.serialize_pem());
        let client_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "certified");
        let client = params.signed_by(&client_key, &authority).unwrap();
        write("client.crt", client.pem());
        write("client.key", client_key.serialize_pem());
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[tokio::test]
async fn every_sslmode_means_what_libpq_means() {
    let certificates = Certificates::new();
    for binaries in testkit::versions() {
        let hba = "local all all trust\n\
                   hostssl all certified 127.0.0.1/32 cert\n\
                   hostssl all tls_only 127.0.0.1/32 trust\n\
                   hostnossl all plain_only 127.0.0.1/32 trust\n\
                   host all app 127.0.0.1/32 scram-sha-256\n\
                   host all postgres 127.0.0.1/32 trust\n";
        let mut server = tcp_server(Some(binaries.major), hba, &[]).await;
        let owner = std::fs::metadata(server.data_dir()).unwrap();
        for name in ["server.crt", "server.key", "ca.crt"] {
            let path = server.data_dir().join(name);
            std::fs::copy(certificates.path(name), &path).unwrap();
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let settings = [("ssl", "on"), ("ssl_ca_file", "ca.crt"), ("fsync", "off")];
        server.restart(&settings.map(|(n, v)| (n.to_owned(), v.to_owned()))).unwrap();
        let admin = testkit::connect(&server.url("postgres")).await;
        admin
            .batch_execute(
                "CREATE ROLE certified LOGIN; CREATE ROLE tls_only LOGIN; CREATE ROLE plain_only LOGIN; \
                 CREATE ROLE app LOGIN PASSWORD 'right'",
            )
            .await
            .unwrap();
        let port = server.port();
        let ca = certificates.path("ca.crt").display().to_string();
        let stranger = certificates.path("stranger.crt").display().to_string();
        let connect = async |host: &str, user: &str, rest: &str| {
            let text =
                format!("host={host} hostaddr=127.0.0.1 port={port} user={user} dbname=postgres {rest}");
            let session = target(&text).connect(&SessionOptions::default()).await?;
            let row = session
                .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
                .await
                .unwrap();
            Ok::<bool, Error>(row.get(0))
        };
        // (host, role, options, encrypted or refused)
        for (host, user, rest, expected) in [
            ("localhost", "postgres", "sslmode=disable", Some(false)),
            ("localhost", "postgres", "sslmode=allow", Some(false)),
            ("localhost", "postgres", "sslmode=prefer", Some(true)),
            ("localhost", "postgres", "sslmode=require", Some(true)),
            // pg_hba.conf decides, and the other way is tried.
            ("localhost", "tls_only", "sslmode=allow", Some(true)),
            ("localhost", "plain_only", "sslmode=prefer", Some(false)),
            ("localhost", "tls_only", "sslmode=disable", None),
            ("localhost", "plain_only", "sslmode=require", None),
            // Chain, then chain and name.
            ("localhost", "postgres", &format!("sslmode=verify-full sslrootcert={ca}"), Some(true)),
            ("elsewhere", "postgres", &format!("sslmode=verify-ca sslrootcert={ca}"), Some(true)),
            ("elsewhere", "postgres", &format!("sslmode=verify-full sslrootcert={ca}"), None),
            ("localhost", "postgres", &format!("sslmode=verify-ca sslrootcert={stranger}"), None),
            ("localhost", "postgres", "sslmode=verify-full sslrootcert=system", None),
            // require with a root file checks the chain; prefer does not.
            ("localhost", "postgres", &format!("sslmode=require sslrootcert={stranger}"), None),
            ("elsewhere", "postgres", &format!("sslmode=prefer sslrootcert={stranger}"), Some(true)),
            // SCRAM bound to the channel, and refused without one.
            ("localhost", "app", "password=right sslmode=require channel_binding=require", Some(true)),
            ("localhost", "app", "password=right sslmode=disable channel_binding=require", None),
        ] {
            let found = connect(host, user, rest).await;
            assert_eq!(found.as_ref().ok().copied(), expected, "{host} {user} {rest}: {found:?}");
        }
        let error = connect("elsewhere", "postgres", &format!("sslmode=verify-full sslrootcert={ca}")).await;
        let error = error.unwrap_err();
        assert!(matches!(&error, Error::Tls { .. }), "{error:?}");
        assert!(error.detail().unwrap().contains("elsewhere"), "{:?}", error.detail());

        let cert = format!(
            "sslmode=require sslcert={} sslkey={}",
            certificates.path("client.crt").display(),
            certificates.path("client.key").display()
        );
        assert!(connect("localhost", "certified", &cert).await.unwrap());
        assert!(connect("localhost", "certified", "sslmode=require").await.is_err());

        // A canceled statement over TLS.
        let text = format!("host=localhost hostaddr=127.0.0.1 port={port} user=postgres sslmode=require");
        let session = target(&text).connect(&SessionOptions::default()).await.unwrap();
        let token = session.cancel_token();
        let (slept, ()) = tokio::join!(session.batch_execute("SELECT pg_sleep(30)"), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            token.cancel().await.unwrap();
        });
        assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    }
}

#[tokio::test]
async fn a_server_certificate_may_be_its_own_root() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    // What `openssl req -x509` makes, and the manual recommends for a start.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let root = directory.path().join("root.crt");
    std::fs::write(&root, own.pem()).unwrap();
    let mut server = tcp_server(None, "local all all trust\nhost all all 127.0.0.1/32 trust\n", &[]).await;
    let owner = std::fs::metadata(server.data_dir()).unwrap();
    for (name, text) in [("server.crt", own.pem()), ("server.key", key.serialize_pem())] {
        let path = server.data_dir().join(name);
        std::fs::write(&path, text).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    server.restart(&[("ssl".to_owned(), "on".to_owned())]).unwrap();
    let port = server.port();
    let root = root.display();
    for (host, suits) in [("localhost", true), ("elsewhere", false)] {
        let text = format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=postgres sslmode=verify-full sslrootcert={root}"
        );
        assert_eq!(target(&text).connect(&SessionOptions::default()).await.is_ok(), suits, "{host}");
    }
}

#[tokio::test]
async fn the_future_of_a_connection_can_move_between_threads() {
    let database = testkit::database(oldest_server()).await;
    let target = Target::parse(Some(&database.url), &Environment::default()).unwrap();
    let pid = tokio::spawn(async move {
        target.connect(&SessionOptions::default()).await.map(|session| session.backend_pid())
    });
    assert!(pid.await.unwrap().unwrap() > 0);
}
