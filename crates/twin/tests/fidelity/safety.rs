//! Can a snapshot that somebody else made do harm?

use model::QualifiedName;
use model::cost_model::{Configuration, CostModel};

use crate::events::events;
use crate::source::build;

#[tokio::test]
async fn what_the_twin_does_not_have_costs_only_what_uses_it() {
    let server = testkit::any_server();
    let mut source = events(server).await;
    source.snapshot.schema_sql.push_str(
        "CREATE EXTENSION IF NOT EXISTS postgis_of_another_machine WITH SCHEMA public;
         CREATE TABLE public.places (id int, at public.geometry);
         CREATE INDEX places_at ON public.places USING gist (at);
         ALTER TABLE public.users OWNER TO nobody_here;
         GRANT SELECT ON public.users TO nobody_here;
         COPY public.users TO PROGRAM 'touch /tmp/never';
         CREATE FUNCTION public.leak() RETURNS text LANGUAGE sql IMMUTABLE AS
             $$ SELECT pg_read_file('/etc/passwd') $$;",
    );
    let mut twin = build(&source).await;
    let notes = twin.notes().join("\n");
    assert!(
        notes.contains("postgis_of_another_machine") && notes.contains("CREATE TABLE public.places"),
        "{notes}"
    );
    assert!(notes.contains("does not run \"COPY") && !notes.contains("nobody_here"), "{notes}");
    twin.plan("SELECT * FROM users WHERE id = 1", &Configuration::current()).await.unwrap();
    // What a snapshot brings runs without a superuser's powers.
    let error = twin.plan("SELECT 1 WHERE leak() = 'x'", &Configuration::current()).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
}

/// Statistics are written by the superuser, and their values are read by functions of their types.
#[tokio::test]
async fn values_in_statistics_run_nothing_of_the_snapshot_as_superuser() {
    let server = testkit::any_server();
    let mut source = events(server).await;
    source.snapshot.schema_sql.push_str(
        "CREATE FUNCTION public.climb(text) RETURNS boolean LANGUAGE plpgsql AS
             $$BEGIN CREATE ROLE climber SUPERUSER; RETURN true; END$$;
         CREATE DOMAIN public.ladder AS text CHECK (public.climb(VALUE));
         CREATE TYPE public.step AS (height public.ladder);
         CREATE TABLE public.climbed (a public.step, b public.step[], c public.ladder[], d public.ladder, e int[]);",
    );
    let users = source.snapshot.relations.iter().find(|r| r.name.name == "users").unwrap();
    let mut climbed = users.clone();
    climbed.name = QualifiedName::new("public", "climbed");
    climbed.columns.truncate(5);
    for (column, (name, values)) in climbed.columns.iter_mut().zip([
        ("a", "{(x)}"),
        ("b", "{\"{(x)}\"}"),
        ("c", "{\"{x}\"}"),
        ("d", "{x}"),
        ("e", "{\"{1,2}\"}"),
    ]) {
        column.name = name.into();
        let statistics = column.statistics.as_mut().unwrap();
        statistics.most_common_vals = Some(values.into());
        statistics.most_common_freqs = Some(vec![0.5]);
        statistics.histogram_bounds = None;
    }
    source.snapshot.relations.push(climbed);
    let twin = build(&source).await;
    let notes = twin.notes().join("\n");
    for column in ["a", "b", "c"] {
        assert!(notes.contains(&format!("statistics of public.climbed.{column}: reading")), "{notes}");
    }
    let admin = testkit::connect(&twin.url()).await;
    let sql = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = 'climber'),
        (SELECT count(*) FROM pg_stats WHERE tablename = 'climbed' AND most_common_vals IS NOT NULL)";
    let row = admin.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 2), "{notes}");
}
