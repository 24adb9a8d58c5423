//! One application at one of the three systems, set up in one line: for the tests that only differ in what goes wrong.

use std::time::Duration;

use base64::Engine as _;
use cutover::engine::EngineClock as _;
use cutover_api::{Clock as _, Secret, Span, Stamp};
use cutover_fake::{Bondi, CallKind, Calling, Consumer, Plana, Wrapd, keys_in_file};
use cutover_machine::event::Order;

use crate::House;

/// A pace that keeps a consumer calling all the time without taking the machine for itself.
const PACE: Option<Duration> = Some(Duration::from_millis(5));
/// Where the application reads its keys.
pub const TARGET: &str = "apps/app.env";
/// The policy of every cast.
pub const POLICY: &str = "crm";

/// What differs from one test to the next. Everything else is the plainest policy that goes through by itself.
pub struct Script {
    /// How many times as fast the clock runs.
    pub speed: u32,
    /// Further lines of the policy, before its tables.
    pub policy: String,
    /// The target's layout while both keys live, as TOML; empty = none.
    pub during: String,
    /// The policy's verifies; `None` = one that is fit for the provider, `Some("")` = none at all.
    pub verify: Option<String>,
    /// Without a deploy hook the application is restarted by nobody.
    pub hook: bool,
    /// The key in use counts as ours.
    pub adopt: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self { speed: 600, policy: String::new(), during: String::new(), verify: None, hook: true, adopt: true }
    }
}

/// A house, a provider, an application that never stops calling, and the key it began with.
pub struct Cast<P> {
    pub house: House,
    pub provider: P,
    pub app: Consumer,
    pub old: Secret,
    config: String,
}

/// The three of them, as far as the tests treat them alike.
pub trait System {
    fn session(&self) -> Secret;
    fn accepts(&self, key: &Secret) -> bool;
    fn mints(&self) -> u64;
    fn calls_of(&self, kind: CallKind) -> Vec<Stamp>;
    fn living(&self) -> usize;
}

macro_rules! system {
    ($double:ty) => {
        impl System for $double {
            fn session(&self) -> Secret {
                Self::session(self)
            }
            fn accepts(&self, key: &Secret) -> bool {
                Self::accepts(self, key)
            }
            fn mints(&self) -> u64 {
                Self::mints(self)
            }
            fn calls_of(&self, kind: CallKind) -> Vec<Stamp> {
                self.log().into_iter().filter(|call| call.kind == Some(kind)).map(|call| call.at).collect()
            }
            fn living(&self) -> usize {
                self.keys().into_iter().filter(|key| key.alive).count()
            }
        }
    };
}
system!(Plana);
system!(Bondi);
system!(Wrapd);

impl<P: System> Cast<P> {
    async fn set(house: House, provider: P, old: (String, Secret), calling: Calling, account: &str, script: &Script) -> Self {
        let (old_id, old) = old;
        std::fs::create_dir_all(house.path("apps")).expect("a directory");
        house.write(TARGET, &format!("# the app\nKEY={}\nOTHER=kept\n", old.expose()));
        house.write("session", provider.session().expose());
        let keys = keys_in_file(house.path(TARGET), &["KEY_NEW", "KEY"]);
        let app = Consumer::start(calling, keys, house.clock.clone(), PACE).await.expect("a consumer");
        let restarter = app.restarter();
        house.on_deploy(move || {
            restarter.restart();
            true
        });
        let consumer = format!(
            "[[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET {}\"\nfingerprint = \"/fingerprints/0\"\nevery = \"1m\"\n",
            app.health_url()
        );
        let hook = format!(
            "[[policy.crm.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{}/deploy\"\ntimeout = \"2m\"\n",
            house.port
        );
        let during = if script.during.is_empty() { String::new() } else { format!("during = {}\n", script.during) };
        let adopt = if script.adopt && old_id != "tok" { format!("adopt = {{ id = \"{old_id}\" }}\n") } else { String::new() };
        let config = format!(
            "{account}credential = {{ file = \"{dir}/session\" }}\n\
             [policy.crm]\nprovider = \"it\"\ncadence = \"1y\"\nquiet = \"5m\"\n{adopt}{lines}\
             [[policy.crm.target]]\nstore = \"env\"\npath = \"{TARGET}\"\nfields = {{ KEY = \"{{{{ new.secret }}}}\" }}\n{during}\
             {hook}{verify}",
            dir = house.dir.path().display(),
            lines = script.policy,
            hook = if script.hook { hook.as_str() } else { "" },
            verify = script.verify.clone().unwrap_or(consumer),
        );
        Self { house, provider, app, old, config }
    }

    /// Starts the engine, and starts it again on the same ledger.
    pub async fn start(&mut self) {
        let config = self.config.clone();
        self.house.start(&config).await;
    }

    /// The configuration, with `from` said as `to`.
    pub fn says(&self, from: &str, to: &str) -> String {
        assert!(self.config.contains(from), "{from}: {}", self.config);
        self.config.replace(from, to)
    }

    /// Ends everything.
    pub async fn end(mut self) {
        self.app.stop().await;
        self.house.stop().await;
    }

    /// What stands in the target.
    pub fn target(&self) -> String {
        self.house.read(TARGET)
    }

    /// The value of one field of the target.
    pub fn field(&self, name: &str) -> Option<Secret> {
        let text = self.target();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| Secret::new(value.to_owned()))
    }

    /// Writes another value into the target's field, as somebody else would.
    pub fn meddle(&self, value: &str) {
        let text = self.target();
        let lines = text.lines().map(|line| if line.starts_with("KEY=") { format!("KEY={value}") } else { line.to_owned() });
        self.house.write(TARGET, &(lines.collect::<Vec<_>>().join("\n") + "\n"));
    }

    /// The store is down: nothing can be read or written there.
    pub fn store_goes(&self) {
        std::fs::rename(self.house.path("apps"), self.house.path("apps.away")).expect("moved");
        self.house.write("apps", "in the way\n");
    }

    /// The store is back, with what stood there.
    pub fn store_comes_back(&self) {
        std::fs::remove_file(self.house.path("apps")).expect("removed");
        std::fs::rename(self.house.path("apps.away"), self.house.path("apps")).expect("moved");
    }

    /// Waits until it is held for this reason.
    pub async fn held(&self, why: &str) {
        let held = |status: &cutover::engine::PolicyStatus| status.held.as_ref().is_some_and(|held| held.why == why);
        self.house.until(POLICY, held).await;
    }

    /// Gives an order to the rotation under way.
    pub async fn order(&self, order: Order) -> Result<String, String> {
        let taken = self.house.engine().order(POLICY, None, order, "test", Some("by the test")).await;
        taken.map_err(|refused| refused.reason)
    }

    /// The application has never been refused, and is not now.
    pub async fn app_is_well(&self, when: &str) {
        let more = tokio::time::timeout(Duration::from_secs(20), self.app.more_calls(10)).await;
        assert!(more.is_ok(), "{when}: the application calls on");
        assert_eq!(self.app.refused(), 0, "{when}: no call of the application was refused");
        assert_eq!(self.app.tally().failed, 0, "{when}: no call of the application failed");
    }

    /// The rotation is through: the new key alone stands in the target and works, the old one is dead, nobody was refused.
    pub async fn rotated(&self, when: &str) {
        let status = self.house.closed(POLICY).await;
        assert_eq!(status.ended.as_deref(), Some("done"), "{when}");
        let new = self.field("KEY").expect("a key");
        assert!(!new.same_as(&self.old), "{when}: another key stands in the target");
        assert!(self.provider.accepts(&new), "{when}: it is accepted");
        assert!(!self.provider.accepts(&self.old), "{when}: the old key is dead");
        assert!(self.field("KEY_NEW").is_none(), "{when}: nothing but the settled layout is left");
        let text = self.target();
        assert!(text.starts_with("# the app\n") && text.contains("\nOTHER=kept\n"), "{when}: what is not ours is kept: {text}");
        self.app_is_well(when).await;
    }

    /// The new key alone stands in the target and works; the old one waits for the provider's clock and works too.
    pub async fn moved(&self, when: &str) {
        self.house.until(POLICY, |status| status.phase == "retire").await;
        let new = self.field("KEY").expect("a key");
        assert!(!new.same_as(&self.old), "{when}: another key stands in the target");
        assert!(self.provider.accepts(&new), "{when}: it is accepted");
        assert!(self.provider.accepts(&self.old), "{when}: the old key's grace is not over");
        self.app_is_well(when).await;
    }

    /// Nothing has happened to the application: the old key stands in the target and works, and nothing was deployed.
    pub async fn untouched(&self, when: &str) {
        assert!(self.field("KEY").is_some_and(|key| key.same_as(&self.old)), "{when}: the target is untouched");
        assert!(self.provider.accepts(&self.old), "{when}: the old key is accepted");
        assert_eq!(self.house.deploys(), 0, "{when}: nothing was deployed");
        self.app_is_well(when).await;
    }

    /// Lets so much of the clock's time pass.
    pub async fn pass(&self, span: Span) {
        let until = self.now().plus(span);
        while self.now() < until {
            self.house.clock.sleep_until(until).await;
        }
    }

    /// Waits until an alert of this kind that satisfies this was delivered.
    pub async fn told(&self, kind: &str, wanted: impl Fn(&str, &serde_json::Value) -> bool) -> String {
        let waiting = async {
            loop {
                for alert in self.house.alerts() {
                    // Where a line ends says nothing.
                    let words: Vec<&str> = alert["text"].as_str().unwrap_or_default().split_whitespace().collect();
                    let text = words.join(" ");
                    if alert["kind"] == kind && wanted(&text, &alert["facts"]) {
                        return text;
                    }
                }
                self.app.more_calls(1).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        told.unwrap_or_else(|_| panic!("no such alert of kind {kind}: {:#?}", self.house.alerts()))
    }

    /// Waits until the hold for this reason was told.
    pub async fn told_why(&self, kind: &str, why: &str) -> String {
        self.told(kind, |_, facts| facts["why"] == why).await
    }

    /// What is sealed under a slot of this rotation.
    pub async fn sealed(&self, rotation: &str, slot: &str) -> Option<Secret> {
        self.house.engine().ledger().unseal(rotation, slot).await.expect("the ledger")
    }

    /// The body of the reply to this rotation's first mint, as it is sealed: whole, or what came of it.
    pub async fn received(&self, rotation: &str) -> Option<String> {
        let whole = self.sealed(rotation, "reply.1").await;
        let raw = if whole.is_some() { whole } else { self.sealed(rotation, "reply.1.partial").await };
        let raw: serde_json::Value = serde_json::from_str(raw?.expose()).ok()?;
        let body = base64::engine::general_purpose::STANDARD.decode(raw["body"].as_str()?).ok()?;
        String::from_utf8(body).ok()
    }

    pub fn now(&self) -> Stamp {
        self.house.clock.now()
    }
}

/// PLANA: keys live side by side until they are revoked; found again by the nonce in their name.
pub async fn plana(script: Script) -> Cast<Plana> {
    let house = House::new(script.speed).await;
    let plana = Plana::start(house.clock.clone()).await;
    let old = plana.seed("Nightly stock sync (2025)", "dashboard:read");
    let calling = Calling::Bearer(format!("{}/api/v1/dashboard", plana.base_url()));
    let account = format!("[provider.it]\ndefinition = \"plana\"\nbase_url = \"{}\"\n", plana.base_url());
    let policy = format!("params = {{ base_name = \"Nightly stock sync\" }}\n{}", script.policy);
    let script = Script { policy, ..script };
    Cast::set(house, plana, old, calling, &account, &script).await
}

/// Bondi: a mint starts the 24 hours of the key before it, and nothing can be looked at.
pub async fn bondi(script: Script) -> Cast<Bondi> {
    let house = House::new(script.speed).await;
    let bondi = Bondi::start(house.clock.clone()).await;
    let (_, old) = bondi.seed("ws_1", "my-crm");
    let calling = Calling::Emit(format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url()));
    let account = format!("[provider.it]\ndefinition = \"bondi\"\nbase_url = \"{}\"\n", bondi.base_url());
    let policy = format!("params = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n{}", script.policy);
    let script = Script { policy, ..script };
    Cast::set(house, bondi, (String::from("tok"), old), calling, &account, &script).await
}

/// Wrapd: a mint starts the grace that was asked for; new keys can be seen in the list, but not told apart.
pub async fn wrapd(script: Script) -> Cast<Wrapd> {
    let house = House::new(script.speed).await;
    let wrapd = Wrapd::start(house.clock.clone()).await;
    let old = wrapd.seed("production", &["read", "write"]);
    let calling = Calling::Header(format!("{}/me", wrapd.base_url()), String::from("X-API-Key"));
    let account = format!("[provider.it]\ndefinition = \"wrapd-api-key\"\nbase_url = \"{}\"\n", wrapd.base_url());
    Cast::set(house, wrapd, old, calling, &account, &script).await
}
