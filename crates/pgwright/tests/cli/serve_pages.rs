//! Do the pages of `serve` show what is there, to whom they may, and does nothing of it run in a browser?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::User;
use crate::serve::{Answer, Serving};
use crate::world::World;

/// A table whose name is markup.
const HOSTILE: &str = "a\"b.c<script>";

/// Sends a form.
pub fn post(address: &str, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = body.join("&");
    let mut stream = TcpStream::connect(address).unwrap();
    let mut request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Percent-encodes everything that is not a letter or digit.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The value of a header.
pub fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| {
        let (n, value) = line.split_once(": ")?;
        n.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// What a form of a page sends back to show that it is one.
pub fn csrf(page: &str) -> &str {
    page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}

/// A file of users: ada may change the database, bob may not; their password is "secret words".
pub fn users_file(user: &User) -> String {
    let hash = user.run_with_input(&["serve", "--hash-password"], "secret words\n").exits(0).stdout;
    let lines = format!("ada:{}:operator\nbob:{}\n", hash.trim(), hash.trim());
    user.write("users", lines).display().to_string()
}

/// Signs in; gives the cookie.
pub fn sign_in(serving: &Serving, user: &str, password: &str) -> String {
    let answer =
        post(&serving.address, "/sign-in", &[], &[("user", user), ("password", password), ("to", "/tables")]);
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(header(&answer, "location"), Some("/tables"));
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

/// Asks again until a page holds a text.
pub fn until(serving: &Serving, path: &str, headers: &[(&str, &str)], text: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = serving.get(path, headers);
        if answer.body.contains(text) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{path} never showed {text}:\n{}", answer.body);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_and_what_is_hostile_is_text() {
    let world = World::on(testkit::any_server()).await;
    world
        .load(
            "create table \"a\"\"b.c<script>\" (\"i<d>\" int primary key, v text default '<b>'); \
             comment on table \"a\"\"b.c<script>\" is 'said </main>'; \
             create index \"<i>\" on \"a\"\"b.c<script>\" ((v || '<i>')); \
             insert into \"a\"\"b.c<script>\" select generate_series(1, 1000)",
        )
        .await;
    let user = User::new();
    let intervals =
        ["--interval", "statements=300ms", "--interval", "tables=300ms", "--interval", "indexes=300ms"];
    let serving = Serving::start(&user, &world.url, &intervals);
    until(&serving, "/statements", &[], "statements</span>");
    world.repeat("select count(*) from \"a\"\"b.c<script>\" where v = '<u>'", 5).await;
    let escaped = "&quot;a&quot;&quot;b.c&lt;script&gt;&quot;";
    until(&serving, "/tables", &[], escaped);
    let statements = until(&serving, "/statements?sort=calls&order=desc", &[], "b.c&lt;script&gt;");
    let table = format!("/table?database={}&schema=public&name={}", world.name, encoded(HOSTILE));
    let statement =
        statements.body.split("href=\"/statement?").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let statement = format!("/statement?{}", statement.replace("&amp;", "&"));
    until(&serving, "/indexes", &[], "&lt;i&gt;");
    for path in [
        "/",
        "/statements",
        "/tables",
        "/indexes",
        "/locks",
        "/recommendations",
        "/changes",
        "/journal",
        "/maintenance",
        "/partitions",
        "/replication",
        "/catalogue",
        "/alerts",
        &table,
        &statement,
        "/indexes?only=unused",
        "/tables?q=zzz",
    ] {
        let answer = serving.get(path, &[]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{path}");
        }
        let policy = header(&answer, "content-security-policy").unwrap();
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{path}: {policy}");
        }
        let body = &answer.body;
        assert!(
            body.contains("href=\"#content\"")
                && body.contains("<h1>")
                && body.contains("aria-current=\"page\""),
            "{path}: {body}"
        );
        for never in ["c<script>", "<i>", "<u>", "said </main>", " style=", " onclick="] {
            assert!(!body.contains(never), "{path} holds {never}: {body}");
        }
    }
    let table = serving.get(&table, &[]).body;
    for text in ["said &lt;/main&gt;", "i&lt;d&gt;", "CREATE INDEX", "unused", "PRIMARY KEY"] {
        assert!(table.contains(text), "{text} is not in {table}");
    }
    // Laid out over lines.
    assert!(serving.get(&statement, &[]).body.contains("<code>"));
    for (path, status) in [
        ("/none", 404),
        ("/table?database=x&schema=y&name=z", 404),
        ("/statement?database=x&queryid=1", 404),
        ("/statement?database=x&queryid=%00", 400),
        ("/statement", 400),
        ("/tables?sort=%3Cscript%3E&page=99999999999999999999&order=x", 200),
    ] {
        assert_eq!(serving.get(path, &[]).status, status, "{path}");
    }
    for (path, kind) in [
        ("/static/style.css", "text/css"),
        ("/static/live.js", "text/javascript"),
        ("/static/icon.svg", "image/svg+xml"),
    ] {
        let answer = serving.get(path, &[]);
        assert_eq!(answer.status, 200);
        assert!(header(&answer, "content-type").unwrap().starts_with(kind), "{path}");
    }
    // A name of another site that leads here is not the same site.
    let answer = serving.get("/", &[("Host", "evil.example")]);
    assert_eq!(answer.status, 421, "{}", answer.body);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_whom_is_shown_and_sent() {
    let world = World::on(testkit::any_server()).await;
    world.load("create table t (id int)").await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &[]);
    until(&serving, "/locks", &[], "Nobody waits");
    let (holder, waiter) = (testkit::connect(&world.url).await, testkit::connect(&world.url).await);
    holder.batch_execute("begin; lock table t in access exclusive mode; select '<u>'").await.unwrap();
    let waiting = tokio::spawn(async move { waiter.batch_execute("select * from t").await });
    let page = until(&serving, "/locks", &[], "1 session waits").body;
    assert!(page.contains("AccessShareLock") && page.contains("public.t"), "{page}");
    assert!(page.contains("idle within a transaction") && page.contains("&lt;u&gt;"), "{page}");
    // The same comes as events, and again when it changes.
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /locks/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut seen = String::new();
    let mut read_until = |text: &str| {
        let mut buffer = [0; 4096];
        while !seen.contains(text) {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    };
    read_until("1 session waits");
    holder.batch_execute("commit").await.unwrap();
    waiting.await.unwrap().unwrap();
    read_until("Nobody waits");
    assert!(seen.contains("content-type: text/event-stream"), "{seen}");
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_who_may_not() {
    let world = World::new().await;
    let user = User::new();
    let users = users_file(&user);
    let token = user.write("token", "0123456789abcdef0123\n").display().to_string();
    let serving = Serving::start(&user, &world.url, &["--users-file", &users, "--token-file", &token]);
    let refused = serving.get("/statement?database=a%22&queryid=1", &[]);
    assert_eq!(refused.status, 303);
    assert_eq!(
        header(&refused, "location"),
        Some("/sign-in?to=%2fstatement%3fdatabase%3da%2522%26queryid%3d1")
    );
    let form = serving.get("/sign-in?to=%2Ftables", &[]);
    assert!(form.status == 200 && form.body.contains("value=\"/tables\""), "{}", form.body);
    assert!(serving.get("/sign-in?to=https://evil.example", &[]).body.contains("name=\"to\" value=\"/\""));
    assert_eq!(serving.get("/locks/events", &[]).status, 303);
    // A header is enough to read, as with the metrics.
    let bearer = ("Authorization", "Bearer 0123456789abcdef0123");
    assert_eq!(serving.get("/tables", &[bearer]).status, 200);
    let from_elsewhere = [("Origin", "https://evil.example")];
    let right = [("user", "ada"), ("password", "secret words")];
    assert_eq!(post(&serving.address, "/sign-in", &from_elsewhere, &right).status, 403);
    let cookie = sign_in(&serving, "ada", "secret words");
    let page = serving.get("/", &[("Cookie", &cookie)]);
    assert!(page.status == 200 && page.body.contains("ada (operator)"), "{}", page.body);
    assert!(
        serving
            .get("/", &[("Cookie", &sign_in(&serving, "bob", "secret words"))])
            .body
            .contains("bob (viewer)")
    );
    let proxied = post(&serving.address, "/sign-in", &[("X-Forwarded-Proto", "https")], &right);
    assert!(
        header(&proxied, "set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")),
        "{}",
        proxied.head
    );
    // Signing out needs what only the page knows.
    let csrf = csrf(&page.body).to_owned();
    let out = |headers: &[(&str, &str)], csrf: &str| {
        post(&serving.address, "/sign-out", headers, &[("csrf", csrf)]).status
    };
    assert_eq!(out(&[("Cookie", &cookie)], "wrong"), 403);
    assert_eq!(out(&[("Cookie", &cookie)], ""), 403);
    assert_eq!(out(&[("Cookie", &cookie), ("Sec-Fetch-Site", "cross-site")], &csrf), 403);
    assert_eq!(out(&[bearer], &csrf), 403);
    assert_eq!(out(&[("Cookie", &cookie)], &csrf), 303);
    assert_eq!(serving.get("/", &[("Cookie", &cookie)]).status, 303);
    // After five wrong attempts each one has to wait longer, and those that are right still are.
    let wrong = [("user", "ada"), ("password", "wrong")];
    for _ in 0..5 {
        let told = post(&serving.address, "/sign-in", &[], &wrong);
        assert!(told.status == 401 && told.body.contains("User or password are wrong"), "{}", told.body);
    }
    let limited = post(&serving.address, "/sign-in", &[], &wrong);
    assert_eq!(limited.status, 429);
    assert!(header(&limited, "retry-after").and_then(|s| s.parse::<u32>().ok()).is_some_and(|s| s <= 31));
    assert_eq!(serving.get("/tables", &[bearer]).status, 200, "the right token");
    assert_eq!(serving.get("/tables", &[("Authorization", "Bearer 0123456789abcdef0124")]).status, 429);
    assert_eq!(post(&serving.address, "/sign-in", &[], &right).status, 303, "the right password");
    assert_eq!(serving.get("/healthz", &[]).status / 100, 2);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_applies_what_is_recommended_and_takes_it_back() {
    let world = World::new().await;
    world
        .load("create table t (id int primary key, k int, v text); insert into t select n, n % 5000, repeat('x', 200) from generate_series(1, 50000) n")
        .await;
    world.repeat("select v from t where k = 7", 30).await;
    let user = User::new();
    let users = users_file(&user);
    let serving = Serving::start(&user, &world.url, &["--users-file", &users]);
    let (ada, bob) = (sign_in(&serving, "ada", "secret words"), sign_in(&serving, "bob", "secret words"));
    let (ada, bob) = ([("Cookie", ada.as_str())], [("Cookie", bob.as_str())]);
    until(&serving, "/locks", &ada, "Nobody waits");
    let empty = serving.get("/recommendations", &bob).body;
    assert!(!empty.contains("<button type=\"submit\">Compute"), "{empty}");
    let token_of = |cookie: &[(&str, &str)]| csrf(&serving.get("/journal", cookie).body).to_owned();
    let (csrf_ada, csrf_bob) = (token_of(&ada), token_of(&bob));
    let send = |path: &str, cookie: &[(&str, &str)], form: &[(&str, &str)]| {
        post(&serving.address, path, cookie, form)
    };
    assert_eq!(send("/recommendations", &bob, &[("csrf", &csrf_bob)]).status, 403);
    // A token is of one session.
    assert_eq!(send("/recommendations", &ada, &[("csrf", &csrf_bob)]).status, 403);
    assert_eq!(send("/recommendations", &ada, &[("csrf", &csrf_ada)]).status, 303);
    let page = until(&serving, "/recommendations", &ada, "As of ").body;
    assert!(page.contains("CREATE INDEX CONCURRENTLY") && page.contains("What undoes it"), "{page}");
    let link = page.split("href=\"/recommendations/apply?id=").nth(1).unwrap();
    let id = link.split('"').next().unwrap().to_owned();
    let confirm = format!("/recommendations/apply?id={id}");
    assert!(!serving.get("/recommendations", &bob).body.contains("/recommendations/apply"));
    assert_eq!(serving.get(&confirm, &bob).status, 403);
    let asked = serving.get(&confirm, &ada);
    assert_eq!(asked.status, 200, "{}", asked.body);
    assert!(
        asked.body.contains("CREATE INDEX CONCURRENTLY") && asked.body.contains("lock: "),
        "{}",
        asked.body
    );
    let plan =
        asked.body.split("name=\"plan\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = [("csrf", csrf_ada.as_str()), ("id", &id), ("plan", plan)];
    // Not by who may not, not from elsewhere, and nothing else than was shown.
    assert_eq!(
        send("/recommendations/apply", &bob, &[("csrf", &csrf_bob), ("id", &id), ("plan", plan)]).status,
        403
    );
    assert_eq!(
        send("/recommendations/apply", &[ada[0], ("Origin", "https://evil.example")], &form).status,
        403
    );
    assert_eq!(send("/recommendations/apply", &ada, &form[1..]).status, 403);
    assert_eq!(send("/recommendations/apply", &ada, &[form[0], form[1], ("plan", "0")]).status, 409);
    assert!(!world.indexes().await.contains("(k)"));
    assert_eq!(send("/recommendations/apply", &ada, &form).status, 303);
    let done = until(&serving, "/changes", &ada, "<span class=\"good\">done</span>").body;
    assert!(done.contains("done in "), "{done}");
    assert!(world.indexes().await.contains("(k)"), "{}", world.indexes().await);
    assert!(serving.get("/recommendations", &ada).body.contains("(done)"));
    let journal = serving.get("/journal", &ada).body;
    let entry = journal
        .split("/journal/undo?entry=")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap()
        .to_owned();
    assert!(!serving.get("/journal", &bob).body.contains("/journal/undo"));
    let confirm = format!("/journal/undo?entry={entry}");
    assert_eq!(serving.get(&confirm, &bob).status, 403);
    assert!(serving.get(&confirm, &ada).body.contains("DROP INDEX CONCURRENTLY"));
    assert_eq!(serving.get("/journal/undo?entry=99999", &ada).status, 409);
    assert_eq!(send("/journal/undo", &bob, &[("csrf", &csrf_bob), ("entry", &entry)]).status, 403);
    assert_eq!(send("/journal/undo", &ada, &[("csrf", &csrf_ada), ("entry", &entry)]).status, 303);
    until(&serving, "/changes", &ada, "undone: ");
    assert!(!world.indexes().await.contains("(k)"));
    assert!(serving.get("/journal", &bob).body.contains("(undone)"));
    // The same advice is there for the command line.
    user.run(&["apply", &world.url]).exits(0).says("CREATE INDEX CONCURRENTLY");
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_keeps_an_alert_quiet_and_ends_it() {
    let world = World::new().await;
    let user = User::new();
    let users = users_file(&user);
    let serving = Serving::start(&user, &world.url, &["--users-file", &users]);
    let (ada, bob) = (sign_in(&serving, "ada", "secret words"), sign_in(&serving, "bob", "secret words"));
    let (ada, bob) = ([("Cookie", ada.as_str())], [("Cookie", bob.as_str())]);
    let page = until(&serving, "/alerts", &ada, "conditions are judged").body;
    assert!(page.contains("names no receivers"), "{page}");
    let token_of = |cookie: &[(&str, &str)]| csrf(&serving.get("/alerts", cookie).body).to_owned();
    let (csrf_ada, csrf_bob) = (token_of(&ada), token_of(&bob));
    let quiet = |csrf: &str, cookie: &[(&str, &str)], matchers: &str| {
        let form = [("csrf", csrf), ("matchers", matchers), ("hours", "2"), ("comment", "<b>month's end")];
        post(&serving.address, "/alerts/silence", cookie, &form).status
    };
    let matchers = "alertname=\"PostgresDown\"";
    assert_eq!(quiet(&csrf_bob, &bob, matchers), 403);
    assert_eq!(quiet("", &ada, matchers), 403);
    assert_eq!(quiet(&csrf_ada, &ada, "nonsense"), 400);
    assert_eq!(quiet(&csrf_ada, &ada, matchers), 303);
    let page = serving.get("/alerts", &ada).body;
    assert!(page.contains("&lt;b&gt;month's end (ada)") && !page.contains("<b>month"), "{page}");
    assert!(!serving.get("/alerts", &bob).body.contains("/alerts/unsilence"));
    let id = page.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let end = |csrf: &str, cookie: &[(&str, &str)]| {
        post(&serving.address, "/alerts/unsilence", cookie, &[("csrf", csrf), ("id", id)]).status
    };
    assert_eq!(end(&csrf_bob, &bob), 403);
    assert_eq!(end(&csrf_ada, &ada), 303);
    assert!(!serving.get("/alerts", &ada).body.contains("month's end"));
    assert_eq!(end(&csrf_ada, &ada), 404);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_history_the_overview_compares_and_a_statement_has_a_past() {
    let world = World::on(testkit::any_server()).await;
    world
        .load(
            "create table t (id int, v text); insert into t select n, '<u>' from generate_series(1, 2000) n",
        )
        .await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &["--history", "--interval", "statements=500ms"]);
    until(&serving, "/", &[], "What got slower");
    world.repeat("select count(*) from t where v = '<u>'", 20).await;
    let list = until(&serving, "/statements?window=15m&sort=calls&order=desc", &[], "from t where v =").body;
    assert!(list.contains("aria-current=\"true\">15 minutes") && !list.contains("<u>"), "{list}");
    let row = list.split("<tr>").find(|row| row.contains("from t where v =")).unwrap();
    let statement = row.split("href=\"/statement?").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let statement = format!("/statement?{}&window=15m", statement.replace("&amp;", "&"));
    let page = serving.get(&statement, &[]).body;
    for text in ["Over time", "Calls per second", "role=\"img\"", "were not computed yet"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    let overview = until(&serving, "/?window=15m&compare=day", &[], "from t where v =").body;
    for text in
        ["Statements take", "Active sessions by what they wait for", "compare=week", "no history of the time"]
    {
        assert!(overview.contains(text), "{text} is not in {overview}");
    }
    assert_eq!(serving.get("/?window=%3Cscript%3E&compare=%27", &[]).status, 200);
    serving.stop();
    // What the server has forgotten, history still tells.
    let queryid = statement.split("queryid=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
    world.load(&format!("select pg_stat_statements_reset(0, 0, {queryid})")).await;
    let serving = Serving::start(&user, &world.url, &["--history", "--interval", "statements=500ms"]);
    let page = until(&serving, &statement, &[], "The server has forgotten it").body;
    for text in ["WHERE v = $1", "Over time", "Calls per second"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert_eq!(serving.get("/statement?database=x&queryid=1&window=15m", &[]).status, 404);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_on_a_statement_leads_to_its_page_and_one_that_lint_knows_names_the_check() {
    let world = World::new().await;
    world.load("create table t (id int); insert into t values (1), (1)").await;
    let _ = world.client.batch_execute("create unique index concurrently t_id on t (id)").await;
    world.repeat("select count(*) as told_of from t", 5).await;
    let user = User::new();
    user.write(
        "pgwright.toml",
        "[alerts]\ninterval = \"200ms\"\n[alerts.change.PostgresInvalidIndexes]\nfor = \"0s\"\n\
         [[alerts.rule]]\nname = \"Called\"\nexpression = \"postgres_statement_rows_total >= 0\"\nsummary = \"called\"\n",
    );
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=300ms"]);
    let page = until(&serving, "/alerts", &[], "pgwright lint invalid-index").body;
    assert!(page.contains("Finding: "), "{page}");
    let page = until(&serving, "/alerts", &[], "The statement, with its plans").body;
    let link = page.split("href=\"").find(|part| part.starts_with("/statement?")).unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(serving.get(&link, &[]).status, 200, "{link}");
    let api = serving.get("/api/alerts", &[]).body;
    assert!(api.contains("Called"), "{api}");
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_asked_the_page_and_the_api_keep_alerts_quiet_alike() {
    let world = World::new().await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &[]);
    let page = until(&serving, "/alerts", &[], "conditions are judged").body;
    let url = format!("http://{}", serving.address);
    user.run(&[
        "alerts",
        "silence",
        "alertname=\"PostgresDown\"",
        "--for",
        "1h",
        "--comment",
        "by program",
        "--at",
        &url,
    ])
    .exits(0);
    let shown = serving.get("/alerts", &[]).body;
    let token = csrf(&shown).to_owned();
    let form = [
        ("csrf", token.as_str()),
        ("matchers", "alertname=\"PostgresDown\""),
        ("hours", "1"),
        ("comment", "by page"),
    ];
    assert_eq!(post(&serving.address, "/alerts/silence", &[], &form).status, 303, "{page}");
    // Without the page's token it is somebody else's form.
    assert_eq!(post(&serving.address, "/alerts/silence", &[], &form[1..]).status, 403);
    let shown = serving.get("/alerts", &[]).body;
    assert!(shown.contains("by program") && shown.contains("by page"), "{shown}");
    let id = shown.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let end = [("csrf", token.as_str()), ("id", id)];
    assert_eq!(post(&serving.address, "/alerts/unsilence", &[], &end).status, 303);
    serving.stop();
}
