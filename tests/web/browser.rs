//! The page in a real Chromium: light and dark, on a phone and on a desk, with 3 and with 3,000 policies.
//!
//! `CUTOVER_TEST_CHROMEDRIVER` names the driver; without it the one in the path is used. `CUTOVER_TEST_AXE` names the script of
//! axe-core, `CUTOVER_TEST_SHOTS` a directory for screenshots.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::Site;
use crate::stage;

/// The arguments that a browser without a screen and without a network needs.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// A browser with one tab.
struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver's end is the browser's end too.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn driver() -> Option<PathBuf> {
    let given = std::env::var_os("CUTOVER_TEST_CHROMEDRIVER").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        given.or_else(|| std::env::split_paths(&path).map(|place| place.join("chromedriver")).find(|file| file.exists()));
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "there is no chromedriver: run tests/servers install as root");
        eprintln!("SKIPPED: there is no chromedriver: the page was NOT looked at in a browser (apt install chromium-driver)");
    }
    found
}

impl Browser {
    async fn start() -> Option<Self> {
        let mut driver = Command::new(driver()?)
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("its words")).lines();
        let port = lines
            .find_map(|line| {
                let line = line.expect("a line");
                line.strip_suffix('.')?.rsplit_once("started successfully on port ").map(|(_, port)| port.to_owned())
            })
            .expect("a port");
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().expect("a directory");
        let arguments: Vec<String> = ARGUMENTS
            .iter()
            .map(|one| (*one).to_owned())
            .chain([format!("--user-data-dir={}", profile.path().display())])
            .collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let base = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, session: base, client, _profile: profile };
        let made = browser.post("", &wanted).await;
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.client.post(format!("{}{path}", self.session)).json(body).send().await.expect("an answer");
        let good = reply.status().is_success();
        let answer: Value = reply.json().await.expect("JSON");
        assert!(good, "{path}: {answer}");
        answer["value"].clone()
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params })).await
    }

    async fn open(&self, site: &Site, path: &str) {
        self.post("/url", &json!({ "url": format!("http://127.0.0.1:{}{path}", site.port) })).await;
    }

    /// What a script finds on the page.
    async fn find(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return {script}"), "args": [] })).await
    }

    async fn screen(&self, width: u32, dark: bool) {
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What the browser complained of since it was last asked.
    async fn complaints(&self) -> Vec<Value> {
        self.post("/se/log", &json!({ "type": "browser" })).await.as_array().cloned().unwrap_or_default()
    }

    async fn shoot(&self, name: &str) {
        let Some(directory) = std::env::var_os("CUTOVER_TEST_SHOTS") else { return };
        use base64::Engine as _;
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true })).await;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(PathBuf::from(directory).join(format!("{name}.png")), bytes).expect("written");
    }

    /// Lets axe judge the page, where `CUTOVER_TEST_AXE` names its script: contrast, names, roles, WCAG's rules that a program can check.
    async fn judge(&self, what: &str) {
        let Some(script) = std::env::var_os("CUTOVER_TEST_AXE").filter(|path| !path.is_empty()) else { return };
        let script = std::fs::read_to_string(script).expect("the script of axe");
        // As the developer tools do it: the page's own policy lets no script in.
        self.devtools("Runtime.evaluate", json!({ "expression": script })).await;
        let ask = "axe.run().then(found => found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html)]))";
        let ask = json!({ "expression": ask, "awaitPromise": true, "returnByValue": true });
        assert_eq!(self.devtools("Runtime.evaluate", ask).await["result"]["value"], json!([]), "{what}");
    }

    /// The roles and names that a screen reader is given.
    async fn told(&self) -> Vec<(String, String)> {
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let shown = nodes.into_iter().filter(|node| node["ignored"] != true);
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        shown.map(|node| (text(&node, "role"), text(&node, "name"))).collect()
    }
}

/// Elements that reach beyond the right edge.
const BEYOND: &str = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 \
     && getComputedStyle(e).position != 'absolute' && !e.closest('thead')).map(e => e.outerHTML.slice(0, 120))";

#[tokio::test]
async fn the_page_holds_in_a_real_browser() {
    let Some(browser) = Browser::start().await else { return };
    let sites = [
        ("3", Site::of(stage::three()).await, vec![("/", "all"), ("/policy/my-crm", "one")]),
        ("5", Site::of(stage::five()).await, vec![("/", "all"), ("/policy/pay", "one"), ("/policy/erp", "idle")]),
        ("3000", Site::of(stage::thousands()).await, vec![("/", "all"), ("/?show=idle&sort=due&page=2", "idle")]),
    ];
    for (count, site, pages) in &sites {
        for (path, name) in pages {
            for (width, dark) in [(360, false), (360, true), (1280, false), (1280, true)] {
                browser.screen(width, dark).await;
                browser.open(site, path).await;
                let what = format!("{count}-{name}-{width}-{}", if dark { "dark" } else { "light" });
                browser.shoot(&what).await;
                browser.judge(&what).await;
                assert_eq!(browser.find(BEYOND).await, json!([]), "{what}: beyond the edge");
                let wide = browser.find("document.documentElement.scrollWidth").await;
                assert_eq!(wide, json!(width), "{what}: scrolls sideways");
                let background = browser.find("getComputedStyle(document.body).backgroundColor").await;
                assert_eq!(background, if dark { "rgb(20, 23, 26)" } else { "rgb(255, 255, 255)" }, "{what}");
                assert_eq!(browser.complaints().await, Vec::<Value>::new(), "{what}: the browser complains");
            }
        }
    }
    assert_eq!(browser.find("performance.getEntriesByType('resource').length").await, 0, "nothing else was loaded");
}

#[tokio::test]
async fn a_screen_reader_is_told_what_is_seen() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::of(stage::five()).await;
    // On a phone too, where the table is laid out as a list.
    for width in [1280, 360] {
        browser.screen(width, false).await;
        browser.open(&site, "/").await;
        let told = browser.told().await;
        for (role, name) in [
            ("heading", "1 policy waits for a person"),
            ("meter", "Grace left of pay"),
            ("region", "Waits for a person (1)"),
            ("navigation", "Which policies"),
            ("searchbox", "Name or provider"),
            ("rowheader", "erp"),
            ("columnheader", "Next date"),
        ] {
            let of_role: Vec<_> = told.iter().filter(|(has, named)| has == role || named == name).collect();
            assert!(of_role.iter().any(|(has, named)| has == role && named == name), "{width}: {role} {name}: {of_role:?}");
        }
        assert!(["table", "row", "cell"].iter().all(|role| told.iter().any(|(has, _)| has == role)), "{width}");
        let years: Vec<_> = told.iter().filter(|(_, name)| name.contains("in the last year")).collect();
        assert!(years.iter().any(|(role, name)| role == "image" && name.contains("held once")), "{width}: {years:?}");
    }
}

#[tokio::test]
async fn a_command_is_copied_as_it_is_typed() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::of(stage::five()).await;
    for width in [360, 1280] {
        browser.screen(width, false).await;
        browser.open(&site, "/policy/pay").await;
        let copied = "(() => { getSelection().selectAllChildren(document.querySelectorAll('.ways code')[1]); \
                      return getSelection().toString() })()";
        assert_eq!(browser.find(copied).await, "cutover resume pay --mint-again --rotation rot_pay", "{width}");
    }
}

#[tokio::test]
async fn it_is_used_by_keyboard_and_without_scripts() {
    let Some(browser) = Browser::start().await else { return };
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    let site = Site::of(stage::thousands()).await;
    browser.screen(1280, false).await;
    browser.open(&site, "/").await;
    let keys = |key: &str| {
        json!({ "actions": [{ "type": "key", "id": "k", "actions": [
        { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key } ] }] })
    };
    browser.post("/actions", &keys("\u{e004}")).await;
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": false })).await;
    assert_eq!(browser.find("document.activeElement.className").await, "skip", "the first stop leads past the head");
    let field = browser.post("/element", &json!({ "using": "css selector", "value": "#q" })).await;
    let field = field.as_object().and_then(|field| field.values().next()?.as_str()).expect("a field");
    browser.post(&format!("/element/{field}/value"), &json!({ "text": "service-0042\u{e007}" })).await;
    // The browser leaves the page in its own time after the key.
    let found = async {
        let wanted = json!(["?q=service-0042", 1]);
        while browser.find("[location.search, document.querySelectorAll('tbody tr').length]").await != wanted {
            // Between two looks at the page.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(20), found).await.is_ok(), "the search is not shown");
    assert_eq!(browser.complaints().await, Vec::<Value>::new());
}
