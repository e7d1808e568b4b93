//! Does `rewrite --check` tell equivalent pairs from others, with exit codes that a script can use, and what is
//! wrong with a file that cannot be compared?

use crate::program::{Output, User};
use crate::world::World;

const SCHEMA: &str = "
create table customers (id int primary key, name text not null);
create table orders (id int primary key, customer_id int references customers, placed_at timestamptz not null);";

const NOT_IN: &str = "-- customers without an order\n\
    select name from customers where id not in (select customer_id from orders);\n";
const NOT_EXISTS: &str = "select name from customers c\n\
    where not exists (select 1 from orders o where o.customer_id = c.id)";

fn check(user: &User, before: &str, after: &str, arguments: &[&str]) -> Output {
    user.write("before.sql", before);
    user.write("after.sql", after);
    user.run(&[&["rewrite", "--check", "before.sql", "after.sql"], arguments].concat())
}

#[tokio::test]
async fn pairs_are_judged_by_schema_file_snapshot_and_server() {
    let user = User::new();
    user.write("schema.sql", SCHEMA);
    let by_file = ["--schema", "schema.sql"];

    let refuted = check(&user, NOT_IN, NOT_EXISTS, &by_file).exits(1);
    for part in [
        "refuted: the statements are not equivalent",
        "The first statement gives 0 rows, the second 1 row.",
        "INSERT INTO public.customers (id, name) VALUES (1, 'a');",
        "INSERT INTO public.orders (id, customer_id, placed_at) VALUES (1, NULL, '2024-01-15 00:00:00+00');",
        "before.sql: 0 rows",
        "after.sql: 1 row\n    name\n    a\n",
    ] {
        assert!(refuted.stdout.contains(part), "no {part:?} in {refuted}");
    }
    let json = check(&user, NOT_IN, NOT_EXISTS, &[&by_file[..], &["--json"]].concat()).exits(1);
    let json = json.json("rewrite-check");
    assert_eq!(json["verdict"], "refuted");
    assert_eq!(json["difference"], "rows");
    assert_eq!(json["after"]["rows"][0][0], "a");

    let day = "select id from orders where placed_at::date = '2024-05-01'";
    let range = "select id from orders where placed_at >= '2024-05-01' and placed_at < '2024-05-02'";
    let few = [&by_file[..], &["--databases", "60"]].concat();
    let tested = check(&user, day, range, &few).exits(4);
    assert!(tested.stdout.starts_with("tested: on "), "{tested}");
    let in_utc = "select id from orders where placed_at >= '2024-05-01Z' and placed_at < '2024-05-02Z'";
    let refuted = check(&user, day, in_utc, &by_file).exits(1);
    assert!(refuted.stdout.contains("SET TimeZone = "), "{refuted}");
    let pinned = [&few[..], &["--set", "TimeZone=UTC"]].concat();
    check(&user, day, in_utc, &pinned).exits(4);
    // A day of a zone is a range of that zone: proved once the zone is known.
    let proved = check(&user, day, range, &pinned).exits(0);
    assert!(proved.stdout.starts_with("proved: "), "{proved}");
    assert!(proved.stdout.contains("It rests on TimeZone = UTC."), "{proved}");

    // Keys stand apart from their tables, as pg_dump writes them.
    let dumped = "create table p (id int not null); create table c (id int not null, p int not null);\n\
                  alter table only p add constraint p_key primary key (id);\n\
                  alter table only c add constraint c_p foreign key (p) references p (id)";
    let (joined, alone) = ("select c.id from c join p on p.id = c.p", "select id from c");
    user.write("dumped.sql", format!("{dumped};"));
    check(&user, joined, alone, &["--schema", "dumped.sql"]).exits(0);
    user.write("dumped.sql", format!("{dumped} not valid;"));
    check(&user, joined, alone, &["--schema", "dumped.sql"]).exits(1);

    // Views and functions count however a person writes them: this lower() is none of PostgreSQL's, for which NULL is NULL.
    user.write(
        "own.sql",
        format!(
            "{SCHEMA}\ncreate view early as select id from orders where customer_id = 1;\n\
             create or replace  function lower(value int) returns text language sql immutable as $$ select coalesce(value::text, '') $$;"
        ),
    );
    let own = ["--schema", "own.sql", "--databases", "60"];
    let lower = "select id from orders where lower(customer_id) is not null";
    check(&user, lower, "select id from orders where customer_id is not null", &own).exits(1);
    let seen = check(&user, "select id from early", "select id from orders where customer_id in (1)", &own);
    assert!(seen.exits(0).stdout.starts_with("proved: "));

    // Policies of a schema in a file are read as well.
    user.write(
        "guarded.sql",
        format!(
            "{SCHEMA}\nalter table customers enable row level security;\n\
             create policy short on customers using (length(name) < 9);"
        ),
    );
    let guarded = ["--schema", "guarded.sql", "--databases", "40"];
    let joined = "select o.id from orders o join customers c on c.id = o.customer_id";
    let alone = "select id from orders where customer_id is not null";
    let told = check(&user, joined, alone, &guarded).exits(4);
    assert!(told.stderr.contains("may hide rows of public.customers from one"), "{told}");
    assert!(check(&user, joined, alone, &by_file).exits(0).stderr.is_empty());

    // The same from a server and from a snapshot of it, and with the server's own data.
    let world = World::new().await;
    world.sql(SCHEMA).await;
    world
        .sql("insert into customers values (1, 'a'), (2, 'b'); insert into orders values (1, 1, now())")
        .await;
    let on_server = ["--url", world.url.as_str(), "--databases", "40"];
    check(&user, NOT_IN, NOT_EXISTS, &on_server).exits(1);
    user.run(&["snapshot", "save", "s.zst", "--url", &world.url]).exits(0);
    check(&user, NOT_IN, NOT_EXISTS, &["--snapshot", "s.zst"]).exits(1);
    let unproved = ["select id from orders where greatest(id, 1) = 1", "select id from orders where id <= 1"];
    let verified =
        check(&user, unproved[0], unproved[1], &[&on_server[..], &["--verify-on-data"]].concat()).exits(4);
    assert!(verified.stdout.contains("on the server's own data: the same 1 row"), "{verified}");
}

#[tokio::test]
async fn data_tell_what_tiny_databases_were_not_asked() {
    // With one database, an empty one, nothing is found; the server's data have the NULL.
    let user = User::new();
    let world = World::new().await;
    world.sql(SCHEMA).await;
    world.sql("insert into customers values (1, 'a'); insert into orders values (1, null, now())").await;
    let arguments = ["--url", &world.url, "--databases", "1", "--verify-on-data"];
    let found = check(&user, NOT_IN, NOT_EXISTS, &arguments).exits(1);
    assert!(found.stdout.contains("different answers, 0 rows before and 1 row after"), "{found}");
    let counted = world.value("select count(*) from orders").await;
    assert_eq!(counted, "1");
}

#[tokio::test]
async fn parameters_get_values_for_the_servers_data() {
    let user = User::new();
    let world = World::new().await;
    world.sql(SCHEMA).await;
    world
        .sql("insert into customers values (1, 'a'), (2, 'it''s'), (3, 'a'); insert into orders values (1, 2, now())")
        .await;
    // Nothing proves the pair, and only names that are longer than one letter tell them apart.
    let before = "select id from customers where name = $1 and id > $2";
    let after = "select id from customers where left(name, 1) = left($1, 1) and id > $2";
    let with = |values: &[&str]| {
        let mut arguments = vec!["--url", &world.url, "--databases", "1", "--verify-on-data"];
        arguments.extend(values.iter().flat_map(|v| ["--param", *v]));
        check(&user, before, after, &arguments)
    };
    let same = with(&["1=a", "2=1"]).exits(4);
    assert!(same.stdout.contains("on the server's own data: the same 1 row"), "{same}");
    let other = with(&["1=i", "2=0"]).exits(1);
    assert!(other.stdout.contains("different answers, 0 rows before and 1 row after"), "{other}");
    let quoted = with(&["1=it's", "2=0"]).exits(4);
    assert!(quoted.stdout.contains("the same 1 row"), "{quoted}");
    let missing = with(&["1=a"]);
    assert!(missing.error().contains("Give it one: --param 2=VALUE."), "{missing}");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let user = User::new();
    user.write("schema.sql", SCHEMA);
    for (before, after, parts) in [
        ("select 1; select 2;", "select 1", &["before.sql: text holds 2 statements", "begins in line 1"][..]),
        ("select 1\n\\gx\n", "select 1", &["before.sql: line 2 is a command of psql", "\\gx"]),
        ("-- nothing\n", "select 1", &["before.sql: no statement in the text"]),
        (
            "select 1",
            "select id\nfrom orders wher id = 1",
            &[
                "after.sql: syntax error at or near \"id\" in line 2",
                "from orders wher id = 1\n                     ^^",
            ],
        ),
        (
            "select id from orders",
            "-- a comment\nselect id\nfrom nobody",
            &["after.sql: relation \"nobody\" does not exist in line 3", "from nobody\n     ^^^^^^"],
        ),
        (
            "select id from orders",
            "select idd from orders",
            &["after.sql: column \"idd\" does not exist in line 1", "\n       ^^^\n"],
        ),
        ("select id from orders", "delete from orders returning id", &["it deletes rows"]),
        (
            "select id from orders limit 1",
            "select id from orders where id = (select max(id) from orders)",
            &["cannot be compared", "is not determined"],
        ),
        ("select random()", "select random()", &["volatile function random()"]),
    ] {
        let output = check(&user, before, after, &["--schema", "schema.sql"]).exits(2);
        for part in parts {
            assert!(output.stderr.contains(part), "no {part:?} in {output}");
        }
    }
    let missing = user.run(&["rewrite", "--check", "no.sql", "no.sql"]).exits(2);
    assert!(missing.stderr.contains("could not read \"no.sql\""), "{missing}");
    let bad = check(&user, "select 1", "select 1", &["--schema", "schema.sql", "--set", "TimeZone"]).exits(2);
    assert!(bad.stderr.contains("is not NAME=VALUE"), "{bad}");
    user.run(&["rewrite", "--check", "before.sql"]).exits(2);
}
