//! An application that uses a key of PLANA or Bondi and never stops calling, in a house that rotates that key.

use std::time::Duration;

use cutover_api::Secret;
use cutover_fake::{Bondi, Calling, Consumer, Plana, keys_in_file};

use crate::House;

/// A pace that keeps a consumer calling all the time without taking the machine for itself.
pub const PACE: Option<Duration> = Some(Duration::from_millis(4));

/// PLANA's key in `app.env`, policy `sync`.
pub struct PlanaShop {
    pub house: House,
    pub plana: Plana,
    pub consumer: Consumer,
    pub old_id: String,
    pub old: Secret,
}

impl PlanaShop {
    /// Opens it: the house is not started, a deploy restarts the application.
    pub async fn open(speed: u32) -> Self {
        let house = House::new(speed).await;
        let plana = Plana::start(house.clock.clone()).await;
        let (old_id, old) = plana.seed("Nightly stock sync (2025)", "dashboard:read");
        house.write("app.env", &format!("PLANA_KEY={}\n", old.expose()));
        house.write("session", plana.session().expose());
        let consumer = plana_consumer(&house, &plana).await;
        let restarter = consumer.restarter();
        house.on_deploy(move || {
            restarter.restart();
            true
        });
        Self { house, plana, consumer, old_id, old }
    }

    /// The provider's table.
    pub fn provider(&self) -> String {
        let dir = self.house.dir.path().display();
        format!("[provider.plana]\nbase_url = \"{}\"\ncredential = {{ file = \"{dir}/session\" }}\n", self.plana.base_url())
    }

    /// The policy `sync` with these lines of its own, and the usual target, hook and `last-used`.
    pub fn policy(&self, own: &str) -> String {
        format!(
            "{provider}[policy.sync]\nprovider = \"plana\"\ncadence = \"1y\"\nparams = {{ base_name = \"Nightly stock sync\" }}\n{own}\n\
             [[policy.sync.target]]\nstore = \"env\"\npath = \"app.env\"\nfields = {{ PLANA_KEY = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.sync.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
             [[policy.sync.verify]]\nkind = \"last-used\"\n",
            provider = self.provider(),
            port = self.house.port,
        )
    }

    /// The usual policy: the old key is adopted, a grace of six hours, quiet after thirty minutes.
    pub fn usual(&self) -> String {
        self.policy(&format!("grace = \"6h\"\nquiet = \"30m\"\nadopt = {{ id = \"{}\" }}", self.old_id))
    }

    /// The key that stands in the target.
    pub fn placed(&self) -> Secret {
        placed(&self.house, "app.env", "PLANA_KEY")
    }

    pub async fn close(mut self) {
        // The consumer stops as it is dropped; it may have been stopped before.
        self.house.stop().await;
    }
}

/// An application that reads PLANA's key from `app.env`.
pub async fn plana_consumer(house: &House, plana: &Plana) -> Consumer {
    let keys = keys_in_file(house.path("app.env"), &["PLANA_KEY"]);
    let url = format!("{}/api/v1/dashboard", plana.base_url());
    Consumer::start(Calling::Bearer(url), keys, house.clock.clone(), PACE).await.expect("a consumer")
}

/// Bondi's token in `app.env`, policy `crm`.
pub struct BondiShop {
    pub house: House,
    pub bondi: Bondi,
    pub consumer: Consumer,
    pub old: Secret,
}

impl BondiShop {
    /// Opens it: the house is not started, a deploy restarts the application.
    pub async fn open(speed: u32) -> Self {
        let house = House::new(speed).await;
        let bondi = Bondi::start(house.clock.clone()).await;
        let (_, old) = bondi.seed("ws_1", "my-crm");
        house.write("app.env", &format!("BONDI_INTEGRATION_TOKEN={}\n", old.expose()));
        house.write("session", bondi.session().expose());
        let keys = keys_in_file(house.path("app.env"), &["BONDI_INTEGRATION_TOKEN"]);
        let url = format!("{}/integrations/custom/ws_1/my-crm/emit", bondi.base_url());
        let consumer = Consumer::start(Calling::Emit(url), keys, house.clock.clone(), PACE).await.expect("a consumer");
        let restarter = consumer.restarter();
        house.on_deploy(move || {
            restarter.restart();
            true
        });
        Self { house, bondi, consumer, old }
    }

    /// The policy `crm` of a definition, with these lines of its own and these tables after it.
    pub fn policy(&self, definition: &str, own: &str, more: &str) -> String {
        format!(
            "[provider.{definition}]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n\
             [policy.crm]\nprovider = \"{definition}\"\nparams = {{ workspace = \"ws_1\", slug = \"my-crm\" }}\n{own}\n\
             [[policy.crm.target]]\nstore = \"env\"\npath = \"app.env\"\n\
             fields = {{ BONDI_INTEGRATION_TOKEN = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.crm.redeploy]]\nkind = \"http\"\nrequest = \"POST http://127.0.0.1:{port}/deploy\"\ntimeout = \"1m\"\n\
             [[policy.crm.verify]]\nkind = \"consumer\"\nrequest = \"GET {health}\"\nfingerprint = \"/fingerprints\"\nevery = \"2m\"\n{more}",
            base = self.bondi.base_url(),
            dir = self.house.dir.path().display(),
            port = self.house.port,
            health = self.consumer.health_url(),
        )
    }

    /// The usual policy.
    pub fn usual(&self) -> String {
        self.policy("bondi", "cadence = \"1y\"", "")
    }

    /// The token that stands in the target.
    pub fn placed(&self) -> Secret {
        placed(&self.house, "app.env", "BONDI_INTEGRATION_TOKEN")
    }

    pub async fn close(mut self) {
        // The consumer stops as it is dropped; it may have been stopped before.
        self.house.stop().await;
    }
}

/// The value of a field in a file of the house.
pub fn placed(house: &House, file: &str, field: &str) -> Secret {
    let text = house.read(file);
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='));
    Secret::new(line.unwrap_or_default().trim_matches('"').to_owned())
}
