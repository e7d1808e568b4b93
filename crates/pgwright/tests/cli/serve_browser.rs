//! Do the pages of `serve` work in a real browser: on a desk and on a phone, in light and dark, by keyboard alone, and
//! without anything that their policy forbids?

use crate::browser::{Browser, ENTER, TAB};
use crate::program::User;
use crate::serve::Serving;
use crate::serve_pages::{until, users_file};
use crate::world::World;

const PAGES: &[&str] = &[
    "/",
    "/statements",
    "/tables",
    "/indexes",
    "/locks",
    "/recommendations",
    "/journal",
    "/changes",
    "/maintenance",
    "/partitions",
    "/replication",
    "/catalogue",
    "/alerts",
];

/// What is wrong with a page, in a list of sentences; nothing when all is well.
const FAULTS: &str = r#"(() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  if (document.documentElement.scrollWidth > window.innerWidth) faults.push('the page is wider than the screen: ' + document.documentElement.scrollWidth);
  if (all('h1').length !== 1) faults.push('not one h1');
  if (!document.documentElement.lang) faults.push('no language');
  for (const input of all('input:not([type=hidden])')) if (!input.labels.length) faults.push('an input without label: ' + input.name);
  for (const link of all('a, button')) if (!link.textContent.trim()) faults.push('a link without text: ' + link.outerHTML);
  for (const head of all('thead th')) if (head.scope !== 'col') faults.push('a head without scope: ' + head.textContent);
  for (const picture of all('svg[role=img]')) if (!picture.getAttribute('aria-label')) faults.push('a picture without words');
  const ids = all('[id]').map((e) => e.id);
  if (new Set(ids).size !== ids.length) faults.push('an id twice: ' + ids);
  for (const one of performance.getEntriesByType('resource')) if (new URL(one.name).origin !== location.origin) faults.push('loaded from elsewhere: ' + one.name);
  const parts = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).map((v) => { const c = v / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parts(c)[3] !== 0) return c; }
    return 'rgb(255, 255, 255)';
  };
  for (const e of all('body *')) {
    if (e.closest('svg') || !e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push('contrast ' + contrast.toFixed(2) + ' of ' + e.outerHTML.slice(0, 80));
  }
  for (const box of all('.scroll')) if (box.querySelector('.stack') && box.scrollWidth > box.clientWidth + 1) faults.push('a table is cut off: ' + box.getAttribute('aria-label') + ' ' + box.scrollWidth + ' > ' + box.clientWidth);
  for (const chart of all('svg.chart')) {
    const words = [...chart.querySelectorAll('text')].map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width > 0);
    for (const [word, r] of words) if (r.left < 0 || r.right > innerWidth) faults.push('a word of a chart is cut off: ' + word);
    words.forEach(([word, a], i) => words.slice(i + 1).forEach(([other, b]) => {
      if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom) faults.push('words of a chart overlap: ' + word + ', ' + other);
    }));
  }
  return faults.slice(0, 10);
})()"#;

/// Screens, and whether they are dark.
const SCREENS: [(u32, u32, bool); 4] =
    [(1280, 900, false), (390, 844, true), (1280, 900, true), (390, 844, false)];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_works_on_a_desk_and_on_a_phone_and_by_keyboard() {
    let world = World::on(testkit::any_server()).await;
    world
        .load(
            "create table \"a\"\"b.c<script>alert(1)</script>\" (id int primary key, a_rather_long_name_of_a_column text default '<b>'); \
             insert into \"a\"\"b.c<script>alert(1)</script>\" select generate_series(1, 1000); \
             create table parts (at timestamptz) partition by range (at); \
             create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-02-01'); \
             create sequence numbers",
        )
        .await;
    let user = User::new();
    let serving = Serving::start(&user, &world.url, &["--interval", "statements=300ms"]);
    until(&serving, "/statements", &[], "statements</span>");
    world.repeat("select count(*) from \"a\"\"b.c<script>alert(1)</script>\" where a_rather_long_name_of_a_column = 'x'", 5).await;
    let list = until(&serving, "/statements", &[], "b.c&lt;script").body;
    until(&serving, "/tables", &[], "b.c&lt;script");
    let linked = |page: &str, start: &str| {
        let rest = page.split(&format!("href=\"{start}?")).nth(1).and_then(|rest| rest.split('"').next());
        format!("{start}?{}", rest.unwrap().replace("&amp;", "&"))
    };
    let mut pages: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    pages.push(linked(&list, "/statement"));
    pages.push(linked(&serving.get("/tables?q=script", &[]).body, "/table"));
    let browser = Browser::open();
    let at = |path: &str| format!("http://{}{path}", serving.address);
    for (width, height, dark) in SCREENS {
        browser.resize(width, height);
        browser.set_dark(dark);
        for page in &pages {
            browser.go(&at(page));
            let faults = browser.value(FAULTS);
            assert_eq!(faults.as_array().map(Vec::len), Some(0), "{page} at {width}: {faults:#}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{page} at {width}");
        }
    }
    by_keyboard(&browser, &at("/"), &at("/tables"));
    // What is live is connected.
    browser.go(&at("/locks"));
    browser.wait_for("document.getElementById('state').textContent === 'live'");
    let holder = testkit::connect(&world.url).await;
    let waiter = testkit::connect(&world.url).await;
    holder.batch_execute("begin; lock table parts in access exclusive mode").await.unwrap();
    let waiting = tokio::spawn(async move { waiter.batch_execute("select * from parts").await });
    browser.wait_for("document.body.textContent.includes('1 session waits')");
    holder.batch_execute("commit").await.unwrap();
    waiting.await.unwrap().unwrap();
    browser.wait_for("document.body.textContent.includes('Nobody waits')");
    // What the policy forbids does not run, even if it got into a page.
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')");
    browser.wait_for("performance.now() > 500");
    assert_eq!(browser.value("window.ran === undefined"), true);
    assert!(
        browser.complaints().iter().any(|c| c.contains("Content Security Policy")),
        "the policy was not in force"
    );
    drop(browser);
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_with_a_history_work_on_a_desk_and_on_a_phone() {
    let world = World::on(testkit::any_server()).await;
    world
        .load(
            "create table \"a\"\"b.c<b>\" as select n as a_rather_long_name_of_a_column, repeat('x', 100) as v \
             from generate_series(1, 20000) n; \
             create index a_rather_long_name_of_an_index on \"a\"\"b.c<b>\" (a_rather_long_name_of_a_column)",
        )
        .await;
    let user = User::new();
    let intervals = ["--history", "--interval", "statements=300ms", "--interval", "plans=300ms"];
    let serving = Serving::start(&user, &world.url, &intervals);
    let statement = "select count(*) from \"a\"\"b.c<b>\" where a_rather_long_name_of_a_column = 5";
    world.repeat(statement, 5).await;
    let queryid = world
        .value("select queryid from pg_stat_statements where query like '%b.c<b>%count%' or query like '%count%b.c<b>%' limit 1")
        .await;
    let page = format!("/statement?database={}&queryid={queryid}&window=15m", world.name);
    until(&serving, &page, &[], "The plan now, cost");
    world.sql("drop index a_rather_long_name_of_an_index").await;
    world.repeat(statement, 20).await;
    until(&serving, &page, &[], "Another plan since");
    until(&serving, "/?window=15m", &[], "a_rather_long_name_of_a_column");
    let browser = Browser::open();
    let at = |path: &str| format!("http://{}{path}", serving.address);
    for (width, height, dark) in SCREENS {
        browser.resize(width, height);
        browser.set_dark(dark);
        for path in ["/?window=15m", &page, "/statements?window=15m"] {
            browser.go(&at(path));
            browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
            let faults = browser.value(FAULTS);
            assert_eq!(faults.as_array().map(Vec::len), Some(0), "{path} at {width}: {faults:#}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{path} at {width}");
        }
    }
    drop(browser);
    serving.stop();
}

fn by_keyboard(browser: &Browser, overview: &str, tables: &str) {
    browser.resize(1280, 900);
    browser.go(overview);
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.className"), "skip");
    assert_eq!(browser.value("document.activeElement.getBoundingClientRect().left >= 0"), true);
    browser.press(ENTER);
    assert_eq!(browser.value("location.hash"), "#content");
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.closest('main') !== null"), true);
    assert_ne!(browser.value("getComputedStyle(document.activeElement).outlineStyle"), "none");
    // A table is sorted by a link in its head, and filtered by the field above it.
    browser.go(tables);
    let focus = |wanted: &str| {
        let reached = (0..60).any(|_| {
            browser.press(TAB);
            browser.value(&format!("document.activeElement.matches({wanted:?})")) == true
        });
        assert!(reached, "{wanted} is not reached with the tabulator");
    };
    focus("input[type=search]");
    browser.press("script");
    browser.press(ENTER);
    browser.wait_for("location.search.includes('q=script')");
    focus("thead th:nth-child(3) a");
    browser.press(ENTER);
    browser.wait_for("location.search.includes('sort=rows')");
    assert_eq!(browser.value("document.querySelectorAll('th[aria-sort=descending]').length"), 1);
    focus("tbody th a");
    browser.press(ENTER);
    browser.wait_for("location.pathname === '/table'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signs_in_by_keyboard_and_scripts_do_not_see_the_session() {
    let world = World::new().await;
    let user = User::new();
    let users = users_file(&user);
    let serving = Serving::start(&user, &world.url, &["--users-file", &users]);
    let browser = Browser::open();
    browser.resize(390, 844);
    browser.go(&format!("http://{}/tables", serving.address));
    browser.wait_for("location.pathname === '/sign-in'");
    assert_eq!(browser.value(FAULTS).as_array().map(Vec::len), Some(0), "{:#}", browser.value(FAULTS));
    assert_eq!(browser.value("document.activeElement.name"), "user");
    browser.press("ada");
    browser.press(TAB);
    browser.press("secret words");
    browser.press(ENTER);
    browser.wait_for("location.pathname === '/tables'");
    assert_eq!(browser.value("document.body.textContent.includes('ada (operator)')"), true);
    assert_eq!(browser.value("document.cookie"), "");
    assert_eq!(browser.value(FAULTS).as_array().map(Vec::len), Some(0), "{:#}", browser.value(FAULTS));
    browser.value("document.querySelector('form.who button').click()");
    browser.wait_for("location.pathname === '/sign-in'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(browser);
    serving.stop();
}
