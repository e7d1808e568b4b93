//! How is a database cluster made? By `initdb`, once, and by copying what it made after that.
//!
//! Source: PostgreSQL manual, "initdb" and "Authentication Methods".

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::{Binaries, Error};

/// How to make a database cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initdb {
    /// The locale. When the system does not have it, `C` is taken; the encoding is UTF8 either way.
    pub locale: String,
    /// The name of the superuser.
    pub superuser: String,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
    /// Size of a segment of the write-ahead log in MB, a power of two. The first one is written
    /// whole, so a cluster that lives for seconds is made faster with a small one.
    pub wal_segment_mb: u32,
}

impl Default for Initdb {
    fn default() -> Self {
        Self {
            locale: "C.UTF-8".into(),
            superuser: "postgres".into(),
            data_checksums: false,
            wal_segment_mb: 16,
        }
    }
}

/// Local connections come through a directory that only the server's own account and its owner
/// can enter; whoever comes through TCP needs the password.
const PG_HBA: &str = "\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
";

impl Initdb {
    /// Runs `initdb`. `data_dir` must exist, be empty and belong to `account`.
    pub(crate) fn run(&self, binaries: &Binaries, account: Account, data_dir: &Path) -> Result<(), Error> {
        let first = self.run_with_locale(binaries, account, data_dir, &self.locale);
        match first {
            Err(Error::Initdb { output, .. }) if output.contains("invalid locale") => {
                self.run_with_locale(binaries, account, data_dir, "C")
            }
            other => other,
        }?;
        write_owned(account, &data_dir.join("pg_hba.conf"), PG_HBA, 0o600)
    }

    fn run_with_locale(
        &self,
        binaries: &Binaries,
        account: Account,
        data_dir: &Path,
        locale: &str,
    ) -> Result<(), Error> {
        let mut command = account.command(&binaries.dir.join("initdb"));
        command
            .arg("--pgdata")
            .arg(data_dir)
            .args(["--username", &self.superuser, "--encoding=UTF8", "--locale", locale])
            .args(["--lc-messages=C", "--auth=trust", "--no-sync", "--no-instructions"])
            .env_remove("LC_ALL")
            .current_dir(data_dir);
        if self.wal_segment_mb != 16 {
            command.arg(format!("--wal-segsize={}", self.wal_segment_mb));
        }
        if self.data_checksums {
            command.arg("--data-checksums");
        } else if binaries.major >= 18 {
            command.arg("--no-data-checksums");
        }
        let failed = |output: String| Error::Initdb { data_dir: data_dir.to_path_buf(), output };
        let output = command.output().map_err(|e| failed(format!("The system said: {e}.")))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}

/// A database cluster that was made once and is copied for every server, because `initdb` takes
/// a second and a copy a tenth of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    dir: PathBuf,
}

impl Template {
    /// The template of one version within a directory of templates; made when it is not there.
    ///
    /// Several processes may ask at once.
    ///
    /// # Errors
    /// When the directory cannot be written or `initdb` fails.
    pub fn ensure(binaries: &Binaries, templates: &Path, initdb: &Initdb) -> Result<Self, Error> {
        let name: String = format!(
            "{}-{}-{}-wal{}{}",
            binaries.version,
            initdb.locale,
            initdb.superuser,
            initdb.wal_segment_mb,
            if initdb.data_checksums { "-checksums" } else { "" }
        )
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
        let dir = templates.join(name);
        if dir.join("PG_VERSION").is_file() {
            return Ok(Self { dir });
        }
        fs::create_dir_all(templates).map_err(Error::io("create", templates))?;
        // The account of the server must be able to reach the new directory, whoever owns its
        // parents, so it is made where temporary files go and moved when it is whole.
        let account = Account::choose()?;
        let made = tempfile::Builder::new()
            .prefix("pgwright-initdb-")
            .tempdir_in("/tmp")
            .map_err(Error::io("create a directory in", Path::new("/tmp")))?;
        account.own(made.path())?;
        let data = made.path().join("data");
        create_private(account, &data)?;
        initdb.run(binaries, account, &data)?;
        let staged = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(templates)
            .map_err(Error::io("create a directory in", templates))?;
        let whole = staged.path().join("data");
        copy_tree(account, &data, &whole)?;
        match fs::rename(&whole, &dir) {
            Ok(()) => Ok(Self { dir }),
            // Another process was faster.
            Err(_) if dir.join("PG_VERSION").is_file() => Ok(Self { dir }),
            Err(e) => Err(Error::io("create", &dir)(e)),
        }
    }

    /// Makes a new cluster in `data_dir`, which must not exist.
    pub(crate) fn copy(&self, account: Account, data_dir: &Path) -> Result<(), Error> {
        copy_tree(account, &self.dir, data_dir)
    }
}

/// Makes a directory that only the server's account may enter.
pub(crate) fn create_private(account: Account, dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(Error::io("create", dir))?;
    account.own(dir)
}

/// Writes a file that belongs to the server's account.
pub(crate) fn write_owned(account: Account, path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    // An old file could have wider permissions, and a link could lead elsewhere.
    let _ = fs::remove_file(path);
    let mut file = {
        use std::os::unix::fs::OpenOptionsExt as _;
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }
    .map_err(Error::io("write", path))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(Error::io("write", path))?;
    account.own(path)
}

fn copy_tree(account: Account, from: &Path, to: &Path) -> Result<(), Error> {
    create_private(account, to)?;
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::io("read", &source))?;
        if kind.is_dir() {
            copy_tree(account, &source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(Error::io("write", &target))?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))
                .map_err(Error::io("write", &target))?;
            account.own(&target)?;
        }
    }
    Ok(())
}
