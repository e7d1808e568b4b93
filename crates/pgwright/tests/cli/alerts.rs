//! Does `serve` judge alerts by itself, is everybody told once and when it is over, and does what is silenced stay so?

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::User;
use crate::serve::Serving;
use crate::world::World;

/// A listener on a port of its own that answers each connection in a thread, and keeps what it was sent.
struct Listener<T> {
    address: String,
    got: Arc<Mutex<Vec<T>>>,
}

impl<T: Clone + Send + 'static> Listener<T> {
    fn start(answer: impl Fn(TcpStream, usize) -> Option<T> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let got = Arc::new(Mutex::new(Vec::new()));
        let keeping = got.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if let Some(sent) = answer(stream, number) {
                    keeping.lock().unwrap().push(sent);
                }
            }
        });
        Self { address, got }
    }

    fn got(&self) -> Vec<T> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until something was sent that is as wanted.
    fn wait_for(&self, what: &str, wanted: impl Fn(&T) -> bool) -> T
    where
        T: std::fmt::Debug,
    {
        let began = Instant::now();
        loop {
            if let Some(found) = self.got().iter().find(|sent| wanted(sent)) {
                return found.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(40), "never {what}: {:?}", self.got());
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

/// A request: its first line, its `Authorization`, and its body.
#[derive(Clone, Debug)]
struct Request {
    line: String,
    authorization: Option<String>,
    body: Value,
}

/// Answers requests; the first `refused` of them with an error.
fn http(refused: usize) -> Listener<Request> {
    Listener::start(move |mut stream, number| {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length, mut authorization) = (String::new(), 0, None);
        reader.read_line(&mut line).ok()?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            match header.trim_end().split_once(": ") {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    authorization = Some(value.to_owned());
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let status = if number < refused { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).ok()?;
        if number < refused {
            return None;
        }
        Some(Request { line, authorization, body: serde_json::from_slice(&body).unwrap() })
    })
}

/// Takes mail, as RFC 5321 has it.
fn smtp() -> Listener<String> {
    Listener::start(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"220 mail.example.com\r\n").ok()?;
        let mut mail = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return Some(mail);
            }
            let answer = match line.get(..4).map(str::to_ascii_uppercase).as_deref() {
                Some("EHLO") => "250 mail.example.com\r\n",
                Some("DATA") => {
                    stream.write_all(b"354 go on\r\n").ok()?;
                    loop {
                        let mut line = String::new();
                        reader.read_line(&mut line).ok()?;
                        if line == ".\r\n" {
                            break;
                        }
                        mail.push_str(&line);
                    }
                    "250 taken\r\n"
                }
                Some("QUIT") => {
                    stream.write_all(b"221 bye\r\n").ok()?;
                    return Some(mail);
                }
                _ => {
                    mail.push_str(&line);
                    "250 ok\r\n"
                }
            };
            stream.write_all(answer.as_bytes()).ok()?;
        }
    })
}

/// Alerts that are quick to fire, so that a test need not wait for minutes.
const QUICK: &str = r#"
interval = "200ms"
group_wait = "0s"
group_interval = "200ms"

[alerts.change.PostgresIdleInTransaction]
expression = 'postgres_longest_idle_in_transaction_seconds{datname="DATABASE"} > 1'
for = "400ms"

[alerts.change.PostgresSessionsBlocked]
expression = 'postgres_longest_blocked_statement_seconds{datname="DATABASE"} > 0.5 and on (job, instance, datname) postgres_blocked_sessions > 0'
for = "0s"

[alerts.change.PostgresDown]
for = "300ms"
"#;

/// Others use the same server at the same time: only this database counts.
fn configuration(user: &User, world: &World, more: &str) {
    let quick = QUICK.replace("DATABASE", &world.name);
    user.write("pgwright.toml", format!("[alerts]\ndisable = [\"PostgresRestarted\"]\n{quick}{more}"));
}

/// How alerts stand, as `pgwright alerts --state` tells it.
fn state(user: &User, serving: &Serving) -> Value {
    let url = format!("http://{}", serving.address);
    user.run(&["alerts", "--state", &url, "--json"]).exits(0).json("alert_state")
}

fn wait_for_state(user: &User, serving: &Serving, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let state = state(user, serving);
        if wanted(state["alerts"].as_array().unwrap()) {
            return state;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "never {what}: {state:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Of a webhook's message, the alert and its status.
fn is(request: &Request, alert: &str, status: &str) -> bool {
    request.body["groupLabels"]["alertname"] == alert && request.body["status"] == status
}

const OFTEN: [&str; 4] = ["--interval", "connections=200ms", "--sampling", "0"];

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_idles_is_told_of_by_every_way_once_and_again_when_it_is_over() {
    let world = World::new().await;
    let user = User::new();
    let (hook, slack, manager, mail) = (http(2), http(0), http(0), smtp());
    user.write("token", "hook-secret-token\n");
    user.write("slack", format!("http://{}/services/slack-secret\n", slack.address));
    configuration(
        &user,
        &world,
        &format!(
            "[[alerts.notify]]\nkind = \"webhook\"\nurl = \"http://{}/hook\"\ntoken_file = \"token\"\n\
             matchers = 'alertname=\"PostgresIdleInTransaction\"'\n\
             [[alerts.notify]]\nname = \"chat\"\nkind = \"slack\"\nurl_file = \"slack\"\nmin_severity = \"warning\"\n\
             [[alerts.notify]]\nkind = \"alertmanager\"\nurl = \"http://{}\"\n\
             [[alerts.notify]]\nkind = \"email\"\nsmtp = \"{}\"\nencryption = \"none\"\nfrom = \"pgwright <pg@example.com>\"\n\
             to = [\"ops@example.com\", \"dba@example.com\"]\n\
             [[alerts.notify]]\nname = \"critical only\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\nmin_severity = \"critical\"\n",
            hook.address, manager.address, mail.address
        ),
    );
    let idle = testkit::connect(&world.url).await;
    idle.batch_execute("begin; select 1").await.unwrap();
    let serving = Serving::start(&user, &world.url, &OFTEN);
    let name = "PostgresIdleInTransaction";
    // The receiver was away for two attempts.
    let told = hook.wait_for("told", |r| is(r, name, "firing"));
    assert!(told.line.starts_with("POST /hook "), "{told:?}");
    assert_eq!(told.authorization.as_deref(), Some("Bearer hook-secret-token"));
    let alert = &told.body["alerts"][0];
    assert_eq!(told.body["version"], "4");
    assert_eq!(alert["labels"]["datname"], world.name);
    assert_eq!(alert["labels"]["severity"], "warning");
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("has been idle within a transaction"));
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    let fingerprint = alert["fingerprint"].clone();
    let metrics = serving.wait_for("counted", |m| {
        m.value("pgwright_notifications_total", "receiver=\"webhook\",result=\"sent\"") == Some(1.0)
    });
    assert_eq!(
        metrics.value("pgwright_notifications_total", "receiver=\"webhook\",result=\"failed\""),
        Some(2.0)
    );
    assert!(metrics.value("pgwright_alerts", "firing").unwrap() >= 1.0);
    let said = slack.wait_for("said", |r| r.body["text"].as_str().unwrap().contains(name));
    assert!(said.line.starts_with("POST /services/slack-secret "), "{said:?}");
    assert!(said.body["attachments"][0]["text"].as_str().unwrap().contains("*Do*: End it, and set"));
    let posted = manager.wait_for("posted", |r| r.body[0]["labels"]["alertname"] == name);
    assert!(posted.line.starts_with("POST /api/v2/alerts "), "{posted:?}");
    assert!(posted.body[0]["endsAt"].as_str().unwrap() > posted.body[0]["startsAt"].as_str().unwrap());
    let written =
        mail.wait_for("written", |m| m.contains("Subject: [FIRING:1] PostgresIdleInTransaction (warning)"));
    for part in ["MAIL FROM:<pg@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<dba@example.com>"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    // What fires on is not told again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hook.got().len(), 1, "{:?}", hook.got());
    let state = state(&user, &serving);
    let standing = state["alerts"].as_array().unwrap().iter().find(|a| a["alert"] == name).unwrap();
    assert_eq!(standing["state"], "firing");
    assert!(standing["value"].as_f64().unwrap() > 1.0);
    assert!(!state.to_string().contains("secret"), "{state}");
    idle.batch_execute("rollback").await.unwrap();
    let over = hook.wait_for("told that it is over", |r| is(r, name, "resolved"));
    assert_eq!(over.body["alerts"][0]["fingerprint"], fingerprint);
    assert_ne!(over.body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    mail.wait_for("written that it is over", |m| m.contains("Subject: [RESOLVED] PostgresIdleInTransaction"));
    slack.wait_for("said that it is over", |r| r.body["text"].as_str().unwrap().starts_with("[RESOLVED]"));
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_silenced_is_not_told_and_stays_so_over_a_restart() {
    let world = World::new().await;
    let user = User::new();
    let hook = http(0);
    configuration(
        &user,
        &world,
        &format!("[[alerts.notify]]\nkind = \"webhook\"\nurl = \"http://{}\"\n", hook.address),
    );
    let text = std::fs::read_to_string(user.file("pgwright.toml")).unwrap();
    user.write("pgwright.toml", text.replacen("[alerts]\n", "[alerts]\nstate_file = \"alerts.json\"\n", 1));
    let serving = Serving::start(&user, &world.url, &OFTEN);
    let url = format!("http://{}", serving.address);
    let matchers = format!("alertname=\"PostgresSessionsBlocked\", datname=\"{}\"", world.name);
    let silenced = user
        .run(&[
            "alerts",
            "silence",
            &matchers,
            "--for",
            "1h",
            "--comment",
            "a migration",
            "--at",
            &url,
            "--json",
        ])
        .exits(0)
        .json("silence");
    let id = silenced["id"].as_str().unwrap().to_owned();
    world.sql("create table t (x int); insert into t values (1)").await;
    world.sql("begin; update t set x = 2").await;
    let blocked = testkit::connect(&world.url).await;
    let waiting = tokio::spawn(async move { blocked.batch_execute("update t set x = 3").await });
    let firing = |alerts: &[Value]| {
        alerts.iter().any(|a| a["alert"] == "PostgresSessionsBlocked" && a["state"] == "firing")
    };
    wait_for_state(&user, &serving, "blocked", firing);
    serving.stop();
    let serving = Serving::start(&user, &world.url, &OFTEN);
    let state = wait_for_state(&user, &serving, "blocked after the restart", firing);
    let alert =
        state["alerts"].as_array().unwrap().iter().find(|a| a["alert"] == "PostgresSessionsBlocked").unwrap();
    assert_eq!(alert["silenced_by"], id.as_str(), "{state:#}");
    let blocked = |r: &Request| r.body["groupLabels"]["alertname"] == "PostgresSessionsBlocked";
    assert!(!hook.got().iter().any(blocked), "{:?}", hook.got());
    let url = format!("http://{}", serving.address);
    user.run(&["alerts", "unsilence", &id, "--at", &url]).exits(0).says("no longer silenced");
    hook.wait_for("told after all", |r| blocked(r) && r.body["status"] == "firing");
    user.run(&["alerts", "unsilence", &id, "--at", &url]).fails(2).tells("there is no silence");
    user.run(&["alerts", "--state", &url, "--fail-on", "warning"])
        .exits(1)
        .says("firing PostgresSessionsBlocked");
    world.sql("rollback").await;
    waiting.await.unwrap().unwrap();
    hook.wait_for("told that it is over", |r| blocked(r) && r.body["status"] == "resolved");
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_told_of_and_what_follows_from_it_is_not() {
    let major = testkit::versions()[0].major;
    let server = testkit::server_with(major, &[]);
    let world = World::on(&server).await;
    let user = User::new();
    let hook = http(0);
    configuration(
        &user,
        &world,
        &format!("[[alerts.notify]]\nkind = \"webhook\"\nurl = \"http://{}\"\n", hook.address),
    );
    let idle = testkit::connect(&world.url).await;
    idle.batch_execute("begin; select 1").await.unwrap();
    let serving = Serving::start(&user, &world.url, &OFTEN);
    hook.wait_for("told of the idle session", |r| is(r, "PostgresIdleInTransaction", "firing"));
    let elsewhere = testkit::connect(&server.url("postgres")).await;
    let close = format!("alter database {} allow_connections false", world.name);
    let end =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", world.name);
    elsewhere.batch_execute(&close).await.unwrap();
    elsewhere.batch_execute(&end).await.unwrap();
    hook.wait_for("told that it is down", |r| is(r, "PostgresDown", "firing"));
    let state = state(&user, &serving);
    let alerts = state["alerts"].as_array().unwrap();
    let idling = alerts.iter().find(|a| a["alert"] == "PostgresIdleInTransaction").unwrap();
    // Nothing is known of it: it is not over, and nobody is told.
    assert_eq!((&idling["state"], &idling["kept"]), (&"firing".into(), &true.into()), "{state:#}");
    assert_eq!(idling["inhibited_by"], "PostgresDown");
    assert!(!hook.got().iter().any(|r| r.body["status"] == "resolved"), "{:?}", hook.got());
    elsewhere.batch_execute(&close.replace("false", "true")).await.unwrap();
    hook.wait_for("told that it is back", |r| is(r, "PostgresDown", "resolved"));
    hook.wait_for("told that nobody idles any more", |r| is(r, "PostgresIdleInTransaction", "resolved"));
    let before = hook.got().len();
    server.stop().unwrap();
    let began = Instant::now();
    while !hook.got()[before..].iter().any(|r| is(r, "PostgresDown", "firing")) {
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "never told of the stopped server: {:?}",
            hook.got()
        );
        std::thread::sleep(Duration::from_millis(30));
    }
    serving.stop();
}

#[test]
fn what_cannot_be_used_is_said() {
    let user = User::new();
    let url = "postgres://postgres@127.0.0.1:1/x";
    for (text, expected) in [
        ("[alerts]\ndisable = [\"Nothing\"]", "there is no alert \"Nothing\""),
        ("[alerts]\nintervall = \"5s\"", "unknown field `intervall`"),
        (
            "[alerts.change.PostgresDown]\nexpression = \"absent(pgwright_up)\"",
            "The function absent() is not evaluated.",
        ),
        (
            "[alerts.change.PostgresDown]\nexpression = \"pgwright_upp == 0\"",
            "a metric that there is not: \"pgwright_upp\"",
        ),
        ("[alerts]\nexternal_url = \"pg.example.com\"", "setting external_url of [alerts] is no address"),
        ("[alerts]\nrunbooks = \"javascript:alert(1)\"", "setting runbooks of [alerts] is no address"),
        ("[[alerts.notify]]\nkind = \"webhook\"", "It needs \"url\" or \"url_file\", one of them."),
        ("[[alerts.notify]]\nkind = \"email\"\nsmtp = \"m\"", "It needs \"from\", who writes."),
        ("[[alerts.notify]]\nkind = \"slack\"\nurl_file = \"nowhere\"", "\"nowhere\": No such file"),
        ("[[alerts.silence]]\nmatchers = \"x\"\ncomment = \"y\"", "could not understand the matchers \"x\""),
    ] {
        user.write("pgwright.toml", text);
        user.run(&["serve", "--listen", "127.0.0.1:0", url]).fails(2).tells(expected);
    }
    user.write("pgwright.toml", "");
    user.run(&["alerts", "test"]).fails(2).tells("there is no receiver");
    user.run(&["alerts", "--state", "http://127.0.0.1:1"]).fails(2).tells("could not ask http://127.0.0.1:1");
    user.run(&["alerts", "--state", "ftp://x"]).fails(2).tells("could not use the address");
    let listed = user.run(&["alerts", "--json"]).exits(0).json("alert_conditions");
    assert_eq!(listed["data"].as_array().unwrap().len(), monitoring::alerts::alerts().len());
    user.run(&["alerts"]).exits(0).says("PostgresDown");
}

#[test]
fn a_test_message_tells_whether_receivers_are_reached() {
    let user = User::new();
    let hook = http(0);
    let receivers = format!(
        "[[alerts.notify]]\nkind = \"webhook\"\nurl = \"http://{}\"\n\
         [[alerts.notify]]\nname = \"away\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:1/very-secret\"\n",
        hook.address
    );
    user.write("pgwright.toml", receivers);
    let output = user.run(&["alerts", "test"]).exits(1);
    assert!(output.stdout.contains("arrived") && output.stdout.contains("failed: "), "{output}");
    assert!(!output.stdout.contains("very-secret"), "{output}");
    hook.wait_for("told", |r| r.body["alerts"][0]["labels"]["alertname"] == "PgwrightTest");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_leads_to_the_statement_the_finding_and_the_procedure() {
    let world = World::new().await;
    world.load("create table t (id int); insert into t values (1), (1)").await;
    let _ = world.client.batch_execute("create unique index concurrently t_id on t (id)").await;
    world.repeat("select count(*) as led_to from t", 5).await;
    let queryid =
        world.value("select queryid from pg_stat_statements where query like '%as led_to%' limit 1").await;
    let user = User::new();
    let (hook, slack, manager, mail) = (http(0), http(0), http(0), smtp());
    user.write(
        "pgwright.toml",
        format!(
            "[alerts]\ninterval = \"200ms\"\ngroup_wait = \"1s\"\nexternal_url = \"https://pg.example.com/at/\"\n\
             disable = [\"PostgresRestarted\"]\n[alerts.change.PostgresInvalidIndexes]\nfor = \"0s\"\n\
             [[alerts.rule]]\nname = \"Called\"\nexpression = 'postgres_statement_rows_total{{queryid=\"{queryid}\"}} >= 0'\n\
             summary = \"called & <counted>\"\n\
             [[alerts.notify]]\nkind = \"webhook\"\nurl = \"http://{}\"\n\
             [[alerts.notify]]\nkind = \"slack\"\nurl = \"http://{}\"\n\
             [[alerts.notify]]\nkind = \"alertmanager\"\nurl = \"http://{}\"\n\
             [[alerts.notify]]\nkind = \"email\"\nsmtp = \"{}\"\nencryption = \"none\"\nfrom = \"pg@example.com\"\nto = [\"ops@example.com\"]\n",
            hook.address, slack.address, manager.address, mail.address
        ),
    );
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=300ms"]);
    // An address that is told, as the pages answer it; a proxy in between takes "/at" away.
    let page = |address: &str| {
        let path = address.strip_prefix("https://pg.example.com/at").unwrap_or_else(|| panic!("{address}"));
        let (path, anchor) = path.split_once('#').unwrap_or((path, ""));
        let answer = serving.get(path, &[]);
        assert_eq!(answer.status, 200, "{address}: {}", answer.body);
        if !anchor.is_empty() {
            assert!(answer.body.contains(&format!("id=\"{anchor}\"")), "{address}: {}", answer.body);
        }
        answer.body
    };
    for (name, seen) in [("Called", "led_to"), ("PostgresInvalidIndexes", "t_id")] {
        let told = hook.wait_for("told", |r| is(r, name, "firing"));
        let annotations = &told.body["alerts"][0]["annotations"];
        let finding = annotations["finding_url"].as_str().unwrap();
        assert!(page(finding).contains(seen), "{finding}");
        page(annotations["runbook_url"].as_str().unwrap());
        page(told.body["alerts"][0]["generatorURL"].as_str().unwrap());
        let posted = manager.wait_for("posted", |r| r.body[0]["labels"]["alertname"] == name);
        assert_eq!(posted.body[0]["annotations"]["finding_url"], finding);
        let said = slack.wait_for("said", |r| r.body["text"].as_str().unwrap().contains(name));
        let text = said.body["attachments"][0]["text"].as_str().unwrap();
        for link in [
            format!("<{}|details>", finding.replace('&', "&amp;")),
            format!("*Procedure*: <https://pg.example.com/at/alerts#{}|", name.to_lowercase()),
        ] {
            assert!(text.contains(&link), "{link} is not in {text}");
        }
        // Lines of e-mail that are long are sent in pieces.
        let mail = mail.wait_for("written", |m| m.contains(name)).replace("=\r\n", "").replace("=3D", "=");
        assert!(mail.contains(&format!("  {finding}")), "{finding} is not in {mail}");
    }
    let said = slack.wait_for("said", |r| r.body["text"].as_str().unwrap().contains("Called"));
    let text = said.body["attachments"][0]["text"].as_str().unwrap();
    assert!(text.contains("called &amp; &lt;counted&gt; <https://"), "{text}");
    // Wherever an alert leads, there is a page.
    let alerts = user.run(&["monitoring", "alerts", "--json"]).exits(0).json("alerts");
    let judged = alerts["data"].as_array().unwrap().iter().filter(|a| a["name"] != "PostgresRestarted");
    for alert in judged {
        page(&format!("https://pg.example.com/at/alerts#{}", alert["name"].as_str().unwrap().to_lowercase()));
    }
    for path in
        ["/", "/statements", "/locks", "/replication", "/maintenance", "/partitions", "/indexes?only=invalid"]
    {
        page(&format!("https://pg.example.com/at{path}"));
    }
    serving.stop();
    // Prometheus' own rules lead there as well.
    let rules = user.run(&["monitoring", "rules", "--external-url", "https://pg.example.com/at/"]).exits(0);
    rules
        .says("finding_url: https://pg.example.com/at{{ with $labels.server }}/s/{{ . }}{{ end }}/statement?database={{ $labels.datname | urlquery }}&queryid={{ $labels.queryid | urlquery }}")
        .says("runbook_url: https://pg.example.com/at{{ with $labels.server }}/s/{{ . }}{{ end }}/alerts#postgresdown");
}
