//! Are archives in a bucket of S3-compatible storage as good as those in a folder, and is nothing left there that looks
//! whole and is not? Against a server that speaks S3 and checks signatures.

use apply::partition_archive::{ObjectStorage, Store, restore};
use apply::partition_sets::run;
use apply::{Error, ExecuteOptions};

use crate::deaths::{CHILD, recover, run_child};
use crate::partition_archive::{HOSTILE, OUTDATED, archives_of, archiving, reached};
use crate::partition_sets::looked_after;
use crate::world::{World, quick, shown, target};

fn with(storage: &testkit::ObjectStorage) -> ExecuteOptions {
    ExecuteOptions { object_storage: reached(storage.endpoint()), ..quick() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_comes_back_from_a_bucket_as_it_was() {
    let storage = testkit::ObjectStorage::start("cold");
    let options = with(&storage);
    for server in testkit::servers() {
        let world = World::on(server).await;
        world.sql(HOSTILE).await;
        let whole = r#""My Schema"."a""b.c of""#;
        let rows = format!("select string_agg(x::text, e'\\n' order by id) from {whole} x");
        let before = world.value(&rows).await;
        let location = format!("s3://cold/an Ärchive/{}", world.major);
        looked_after(&world, &[archiving(whole, &location)], &options).await;
        assert_eq!(world.value(r#"select to_regclass('"My Schema"."a""b.c part"') is null"#).await, "true");
        let archives = archives_of(&location, &options).await;
        assert_eq!(archives.len(), 1, "{archives:?}");
        let (archive, manifest) = &archives[0];
        assert_eq!(manifest.rows, 4);
        assert!(archive.to_string().starts_with(&format!("{location}/")), "{archive}");
        restore(&world.target, archive, true, &options, &mut |_| {})
            .await
            .unwrap_or_else(|e| panic!("{}", shown(&e)));
        assert_eq!(world.value(&rows).await, before, "on {}", world.major);
        // Nothing that opens the bucket is in the database.
        let journal = "select string_agg(s::text, ' ') from pgwright.journal_step s";
        let journal = world.value(journal).await;
        assert!(
            journal.contains("s3://cold/") && !journal.contains(testkit::ObjectStorage::SECRET_ACCESS_KEY)
        );
    }
    assert_eq!(storage.keys("cold").len(), testkit::servers().count() * 2, "{:?}", storage.keys("cold"));
    // What is further down is not of the prefix.
    assert_eq!(archives_of("s3://cold", &options).await.len(), 0);
}

/// Rows of which zstd makes little less than they are: two parts, of which the second is small.
const LARGE: &str = "
    create table r (at date not null, b bytea) partition by range (at);
    create table r_1 partition of r for values from ('2001-01-01') to ('2001-02-01');
    insert into r_1 select '2001-01-05', decode(string_agg(md5(random()::text), ''), 'hex')
        from generate_series(0, 573439) n group by n / 4096";

/// Sums up what the rows hold.
const SUM: &str = "select md5(string_agg(md5(b), '' order by md5(b))) from r";

/// The part of the next test that runs in a process of its own and dies when a part of an object has arrived.
fn is_child() -> bool {
    let Ok(order) = std::env::var(CHILD) else { return false };
    let words: Vec<&str> = order.split(' ').collect();
    let [place, _, url] = words.as_slice() else { panic!("{order}") };
    let (endpoint, directory) = place.split_once('@').unwrap();
    let directory = directory.to_owned();
    std::thread::spawn(move || {
        loop {
            let names = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name());
            if names.into_iter().any(|name| name.to_string_lossy().contains(".part-")) {
                // As SIGKILL does: neither destructors nor good-byes.
                std::process::abort();
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let options = ExecuteOptions { object_storage: reached(endpoint), ..quick() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sets = [archiving("r", "s3://cold/shop")];
    let _ = runtime.block_on(async { run(&target(url), &sets, &options, &mut |_| {}).await });
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_parts_the_next_run_aborts_the_upload_and_begins_again() {
    if tokio::task::spawn_blocking(is_child).await.unwrap() {
        return;
    }
    let storage = testkit::ObjectStorage::start("cold");
    let options = with(&storage);
    let world = World::on(testkit::any_server()).await;
    world.sql(LARGE).await;
    let before = world.value(SUM).await;
    let test = "partition_buckets::killed_between_parts_the_next_run_aborts_the_upload_and_begins_again";
    let place = format!("{}@{}", storage.endpoint(), storage.directory().display());
    assert!(!run_child(test, &place, 0, &world.url).success(), "it came to its end");
    recover(&world, &quick()).await;
    // A part, the id of its upload, and nothing that looks like an archive.
    assert!(storage.open_uploads() >= 2, "{}", storage.open_uploads());
    let keys = storage.keys("cold");
    assert!(keys.len() == 1 && keys[0].ends_with(".csv.zst.partial"), "{keys:?}");
    assert!(archives_of("s3://cold/shop", &options).await.is_empty());
    assert_eq!(world.value("select count(*) from r_1").await, "140");

    looked_after(&world, &[archiving("r", "s3://cold/shop")], &options).await;
    assert_eq!(storage.open_uploads(), 0, "parts of a dead run cost money");
    assert_eq!(storage.keys("cold").len(), 2, "{:?}", storage.keys("cold"));
    let archives = archives_of("s3://cold/shop", &options).await;
    let (archive, manifest) = &archives[0];
    assert!(manifest.file_bytes > 8 << 20, "there were no parts: {} bytes", manifest.file_bytes);
    assert_eq!(world.value("select to_regclass('r_1') is null").await, "true");

    // An object that was changed is not loaded.
    let rows = storage.file("cold", &format!("shop/{}", manifest.file));
    let good = std::fs::read(&rows).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [&good[..good.len() / 2], &flipped[..]] {
        std::fs::write(&rows, damaged).unwrap();
        let error = restore(&world.target, archive, true, &options, &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{}", shown(&error));
        assert_eq!(world.value("select to_regclass('r_1') is null").await, "true");
    }
    std::fs::write(&rows, &good).unwrap();
    restore(&world.target, archive, true, &options, &mut |_| {})
        .await
        .unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert_eq!(world.value(SUM).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_takes_nothing_is_found_before_anything_is_detached() {
    let storage = testkit::ObjectStorage::start("cold");
    let world = World::on(testkit::any_server()).await;
    world.sql(OUTDATED).await;
    let good = with(&storage);
    let mut wrong = good.clone();
    let secret = ("AWS_SECRET_ACCESS_KEY".to_owned(), "guessed".to_owned());
    wrong.object_storage.variables.extend([secret]);
    let nobody = ExecuteOptions { object_storage: reached("http://127.0.0.1:1"), ..quick() };
    for (options, told) in [(&wrong, "SignatureDoesNotMatch"), (&nobody, "refused")] {
        let set = archiving("r", "s3://cold/shop");
        let done = run(&world.target, &[set], options, &mut |_| {}).await.unwrap();
        let failure = done.failures.first().map(|(_, error)| shown(error)).unwrap_or_default();
        assert!(failure.contains("could not write \"s3://cold/shop/") && failure.contains(told), "{failure}");
        assert!(!failure.contains("guessed"), "{failure}");
        assert_eq!(world.value("select count(*) from r").await, "1000");
    }
    // The variables go before what is written down, and half of a key is none.
    let mut elsewhere = good.object_storage.clone();
    elsewhere.endpoint = Some("http://127.0.0.1:1".to_owned());
    elsewhere.variables.extend([("AWS_ENDPOINT_URL_S3".to_owned(), storage.endpoint().to_owned())]);
    assert!(Store::open("s3://cold/shop", &elsewhere).unwrap().list().await.unwrap().is_empty());
    let half = [("AWS_ACCESS_KEY_ID".to_owned(), "archivist".to_owned())];
    let half = ObjectStorage { variables: half.into(), ..ObjectStorage::default() };
    assert!(Store::open("s3://cold/shop", &half).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_over_tls_is_trusted_by_its_own_authority_and_by_no_other() {
    let storage = testkit::ObjectStorage::start_with_tls("cold");
    let world = World::on(testkit::any_server()).await;
    world.sql(OUTDATED).await;
    let trusting = |ca_file: Option<std::path::PathBuf>| {
        let object_storage = ObjectStorage { ca_file, ..reached(storage.endpoint()) };
        ExecuteOptions { object_storage, ..quick() }
    };
    let set = archiving("r", "s3://cold/shop");
    // Neither the system nor another authority vouches for it: nothing is detached, and it is said why.
    for options in [trusting(None), trusting(Some(storage.strange_ca_file()))] {
        let done = run(&world.target, std::slice::from_ref(&set), &options, &mut |_| {}).await.unwrap();
        let failure = done.failures.first().map(|(_, error)| shown(error)).unwrap_or_default();
        assert!(failure.contains("could not write \"s3://cold/shop/"), "{failure}");
        assert!(failure.contains("certificate") && failure.contains("ca_file"), "{failure}");
        assert_eq!(world.value("select count(*) from r").await, "1000");
    }
    let nothing = storage.directory().join("no.pem");
    let refused = Store::open("s3://cold/shop", &trusting(Some(nothing)).object_storage).unwrap_err();
    assert!(shown(&refused.into()).contains("its certificates"));
    let options = trusting(Some(storage.ca_file()));
    looked_after(&world, &[set], &options).await;
    let archives = archives_of("s3://cold/shop", &options).await;
    restore(&world.target, &archives[0].0, true, &options, &mut |_| {})
        .await
        .unwrap_or_else(|e| panic!("{}", shown(&e)));
    assert_eq!(world.value("select count(*) from r").await, "1000");
}
