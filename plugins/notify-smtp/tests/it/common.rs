//! What every test here needs.

use std::sync::{Arc, Mutex};

use cutover_api::{Clock, Message, Problems, Reader, References, Secret, SecretRef, Severity, Stamp, Surroundings, Table};
use cutover_notify_smtp::SmtpNotifier;

/// The password every good login of these tests uses; it must never be seen in an error.
pub const PASSWORD: &str = "canary-pässword-7f3a";

/// Hands out one password, which can be changed, and a clock that stands still.
pub struct World(pub Mutex<Result<String, String>>);

impl Clock for World {
    fn now(&self) -> Stamp {
        Stamp(1_800_000_000_000)
    }
}

impl References for World {
    fn open(&self, _: &SecretRef) -> Result<Secret, String> {
        self.0.lock().expect("no panic holds it").clone().map(Secret::new)
    }
}

pub fn world() -> Arc<World> {
    Arc::new(World(Mutex::new(Ok(PASSWORD.to_owned()))))
}

/// A notifier from its table, and what is wrong with it.
pub fn read(text: &str, world: &Arc<World>) -> (Option<SmtpNotifier>, Vec<String>) {
    let table = Table::parse("x.toml", text).expect("valid TOML");
    let problems = Problems::default();
    let surroundings = Surroundings { references: Arc::<World>::clone(world), clock: Arc::<World>::clone(world) };
    let notifier = SmtpNotifier::build(&Reader::new(&table, "notify.ops", &problems), &surroundings);
    (notifier, problems.take().iter().map(ToString::to_string).collect())
}

/// A notifier that nothing is wrong with.
pub fn notifier(text: &str) -> SmtpNotifier {
    let (notifier, problems) = read(text, &world());
    assert!(problems.is_empty(), "{problems:?}");
    notifier.expect("nothing is wrong with it")
}

pub fn message(subject: &str, text: &str) -> Message {
    Message {
        id: "alert-1".to_owned(),
        kind: "held".to_owned(),
        severity: Severity::Critical,
        environment: "prod".to_owned(),
        policies: vec!["crm".to_owned()],
        rotation: Some("r1".to_owned()),
        subject: subject.to_owned(),
        text: text.to_owned(),
        at: "2026-11-21T00:00:00Z".to_owned(),
        facts: serde_json::json!({}),
    }
}
