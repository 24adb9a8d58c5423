//! The witness that asks the consumer itself.

use async_trait::async_trait;
use cutover_api::{Cause, Outcome, Reader, Sighting, Surroundings, Witness, WitnessVars};
use cutover_http_step::{Extracted, Shape, Source, Step, Vars};

use crate::link::{KEYS, Link, defaults, no_origins, set};

/// The most fingerprints a consumer may name.
const MOST: usize = 1000;

/// The longest fingerprint or prefix, in bytes.
const LONGEST: usize = 256;

/// `[[policy.x.verify]] kind = "consumer"`: a call that asks an application which keys it runs with.
pub struct ConsumerWitness {
    step: Step,
    fingerprint: Source,
    link: Link,
}

impl ConsumerWitness {
    /// Reads the table: a step with a whole URL, and `fingerprint` (a SOURCE that gives a text or an array of texts), `credential`, `ca`.
    /// `kind`, `every`, `for` and `covers` belong to the caller. Opens nothing. Every problem is reported; `None` when there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        let before = reader.problems().count();
        let link = Link::read(reader, "verify", surroundings);
        let fingerprint = source(reader, &link);
        let extra = [KEYS.as_slice(), &["kind", "every", "for", "covers", "fingerprint"]].concat();
        let step = Step::load(reader, "verify", &defaults(reader, &["fingerprint"]), &extra);
        if let Some(step) = &step {
            step.check(&link.scope(), reader.problems());
        }
        if reader.problems().count() > before {
            return None;
        }
        let fingerprint = fingerprint?;
        Some(Self { step: step?.keeping(&fingerprint), fingerprint, link })
    }

    fn unreadable(&self, wrong: &str) -> Outcome<Sighting> {
        let hint = format!("the consumer answered, but {} {wrong}; check `fingerprint`", self.fingerprint.text());
        Outcome::Unknown(Cause::new(&self.link.label, "unreadable").hint(hint))
    }
}

/// Reads `fingerprint`; reports what is wrong.
fn source(reader: &Reader<'_>, link: &Link) -> Option<Source> {
    if !reader.has("fingerprint") {
        reader.wrong(
            "fingerprint",
            "missing",
            "where the reply names the key: \"/bondi/fingerprint\", or \"\" for the whole body",
        );
    }
    let text = reader.text("fingerprint")?;
    match Source::parse(text, Shape::Texts) {
        Ok(source) => {
            for error in source.check(&link.scope()) {
                reader.wrong("fingerprint", "a slot cannot be filled", error.message);
            }
            if source.is_optional() {
                reader.wrong("fingerprint", "says ?", "a consumer that names no key proves nothing: leave the ? out");
            }
            Some(source)
        }
        Err(error) => {
            reader.wrong("fingerprint", "is no source", error.message);
            None
        }
    }
}

#[async_trait]
impl Witness for ConsumerWitness {
    async fn look(&self, vars: &WitnessVars) -> Outcome<Sighting> {
        let mut known = Vars::new();
        set(&mut known, "policy.name", &vars.policy);
        set(&mut known, "rotation.id", &vars.rotation);
        set(&mut known, "new.id", &vars.key_id);
        set(&mut known, "new.fingerprint", &vars.fingerprint);
        let http = match self.link.open(&mut known).await {
            Ok(http) => http,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let result = match self.step.run(&http, &no_origins(), &known, &*self.link.surroundings.clock).await {
            Outcome::Done(result) => result,
            other => return self.link.name(other.map(|_| Sighting::Holds(false))),
        };
        match self.fingerprint.read(&result.reply, &known) {
            Ok(Some(Extracted::Texts(names))) if names.is_empty() => self.unreadable("is an empty array"),
            Ok(Some(Extracted::Texts(names))) if names.len() > MOST => self.unreadable("names too many keys"),
            Ok(Some(Extracted::Texts(names))) if names.iter().all(|name| is_name(name)) => {
                Outcome::Done(Sighting::Names(names))
            }
            Ok(Some(_)) => self.unreadable("is no fingerprint or prefix"),
            Ok(None) => self.unreadable("is missing"),
            Err(error) => self.unreadable(error.wrong),
        }
    }
}

/// Short visible ASCII: what fingerprints and prefixes of keys are made of.
fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
