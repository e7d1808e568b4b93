//! A transaction pooler is refused before anything is changed; a session pooler is as good as the
//! server itself. PgBouncer itself, in front of a real server.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use apply::{Error, Objection, UndoTarget};
use cluster::Server;

use crate::world::{World, create, execute, plain_table, plan_of, quick, shown, target};

struct PgBouncer {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PgBouncer {
    /// Starts one under the account of the server, since it refuses to run as root too.
    async fn start(server: &Server, mode: &str) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("no pgbouncer; scripts/setup.sh test gets it");
        let owner = std::fs::metadata(server.data_dir()).unwrap();
        let directory = tempfile::Builder::new().prefix("pgb").tempdir_in("/tmp").unwrap();
        let config = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = user=postgres host={socket} port={port}\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {directory}\n\
             auth_type = any\npool_mode = {mode}\nlogfile = {directory}/log\n",
            socket = server.socket_dir().display(),
            port = server.port(),
            directory = directory.path().display(),
        );
        std::fs::write(&config, text).unwrap();
        for path in [directory.path(), &config] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut command = Command::new(program);
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if std::fs::metadata("/proc/self").unwrap().uid() != owner.uid() {
            command.gid(owner.gid()).uid(owner.uid());
        }
        let pooler = Self { child: command.spawn().unwrap(), directory };
        for _ in 0..200 {
            if pooler.directory.path().join(".s.PGSQL.6432").exists() {
                return pooler;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = std::fs::read_to_string(pooler.directory.path().join("log")).unwrap_or_default();
        panic!("pgbouncer did not start: {log}");
    }

    fn url(&self, database: &str) -> String {
        format!("host={} port=6432 user=postgres dbname={database}", self.directory.path().display())
    }
}

#[tokio::test]
async fn a_transaction_pooler_is_refused_and_a_session_pooler_works() {
    let server = testkit::any_server();
    let world = World::on(server).await;
    let before = world.schema_dump().await;
    let database = world.value("select current_database()").await;
    let plan = plan_of("r", vec![create(plain_table(), "i", &["x"])]);

    let pooler = PgBouncer::start(server, "transaction").await;
    let through = target(&pooler.url(&database));
    let asked = apply::preflight(&through, &plan).await.unwrap();
    assert_eq!(asked.refusals[0].objection, Objection::TransactionPooler);
    let error = apply::execute(&through, &plan, &quick(), &mut |_| {}).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(r) if r[0].objection == Objection::TransactionPooler),
        "{}",
        shown(&error)
    );
    assert!(error.hint().unwrap().contains("past the pooler"));
    assert_eq!(world.schema_dump().await, before);
    drop(pooler);

    let pooler = PgBouncer::start(server, "session").await;
    let through = World { target: target(&pooler.url(&database)), ..world };
    execute(&through, &plan, &quick()).await.unwrap().into_result().unwrap();
    assert!(through.indexes().await.contains("INDEX i "));
    apply::undo(&through.target, &UndoTarget::Last, &quick(), &mut |_| {})
        .await
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(through.schema_dump().await, before);
}
