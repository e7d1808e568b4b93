//! A disk that fills up while an index is built, for real: a tablespace on a file system of a few
//! megabytes.

use std::path::Path;
use std::process::Command;

use model::Bytes;

use crate::world::{World, execute, plain_table, plan_of, quick, shown};

/// A small file system, unmounted when dropped.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `Err` with the reason when this user may not mount.
    fn mount(megabytes: u32) -> Result<Self, String> {
        let directory =
            tempfile::Builder::new().prefix("pgw").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=0777"), "pgwright-test"])
            .arg(directory.path())
            .output()
            .map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_leaves_nothing() {
    let disk = match SmallDisk::mount(4) {
        Ok(disk) => disk,
        Err(reason) => {
            // Mounting is for root. Without it a file-size limit is no substitute: PostgreSQL
            // reports that with another SQLSTATE.
            eprintln!("skipped, a small file system could not be mounted: {reason}");
            return;
        }
    };
    // A path of this user's own; the server must be able to pass through.
    let open = Command::new("chmod").arg("0777").arg(disk.path()).status().unwrap();
    assert!(open.success());
    for server in testkit::servers() {
        let world = World::on(server).await;
        let space = format!("small_{}", server.binaries().major);
        let location = disk.path().join(&space);
        std::fs::create_dir(&location).unwrap();
        // The directory must belong to the server's account.
        let owner = std::fs::metadata(server.data_dir()).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&owner);
        std::os::unix::fs::chown(&location, Some(owner), Some(owner)).unwrap();
        world.sql(&format!("create tablespace {space} location '{}'", location.display())).await;
        world
            .sql("insert into plain select n, n, repeat(md5(n::text), 8) from generate_series(2001, 40000) n")
            .await;
        let name: String = world.value("select current_database()").await;
        world.sql(&format!("alter database {name} set default_tablespace = {space}")).await;
        let before = world.schema_dump().await;

        let plan = plan_of("r", vec![crate::world::create(plain_table(), "too_big", &["y", "x"])]);
        // A known size is compared with the disk beforehand, which warns and does not stop.
        let mut sized = plan.clone();
        sized.recommendations[0].promise.price.bytes = Bytes(3 << 20);
        let asked = apply::preflight(&world.target, &sized).await.unwrap();
        assert_eq!(asked.refusals, []);
        assert!(
            asked
                .notices
                .iter()
                .any(|n| n.starts_with("The new indexes need about 3.0 MB") && n.contains("MB free")),
            "{:?}",
            asked.notices
        );

        let error = execute(&world, &plan, &quick()).await.unwrap().into_result().unwrap_err();
        let text = shown(&error);
        assert_eq!(error.sqlstate().as_deref(), Some("53100"), "{text}");
        assert!(text.contains("No space left on device (53100)"), "{text}");
        assert!(text.contains("Nothing was left behind.") && text.contains("hint: Free space"), "{text}");
        let journal = apply::journal(&world.target).await.unwrap();
        assert_eq!(
            (journal[0].status.as_str(), &journal[0].steps[0].error.as_ref().unwrap()["sqlstate"]),
            ("failed", &"53100".into())
        );
        assert_eq!(world.schema_dump().await, before);
    }
}
