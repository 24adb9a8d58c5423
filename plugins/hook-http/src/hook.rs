//! The hook.

use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Again, Cause, Class, Hook, HookVars, Outcome, Reader, Refusal, Surroundings};
use cutover_http_step::{Http, Judged, Match, Polled, Reply, Sent, Step, Vars, origin};

use crate::link::{KEYS, Link, defaults, no_origins, set};

/// `[[policy.x.redeploy]] kind = "http"`: a call that starts a deployment, and the polls that see it done.
pub struct HttpHook {
    start: Step,
    recover: Option<Recover>,
    link: Link,
    /// The host and port that are called.
    target: (String, u16),
}

/// How an earlier start, whose reply was lost, is looked for.
struct Recover {
    step: Step,
    found: Match,
}

/// What a look for an earlier start saw.
enum Look {
    /// It is there; this reply says so.
    Found(Reply),
    /// It is certainly not there.
    Absent,
    /// That cannot be told.
    Unclear(Cause),
}

impl HttpHook {
    /// Reads the table: a step with a whole URL, and `credential`, `ca`, `[….poll]`, `[….recover]` (a step, and the MATCH `found`, whose
    /// parts say that an earlier start is there). `kind` belongs to the caller. Opens nothing. Every problem is reported; `None` when
    /// there was one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, surroundings: &Surroundings) -> Option<Self> {
        let before = reader.problems().count();
        let link = Link::read(reader, "redeploy", surroundings);
        let recover = reader.table("recover").map(|table| Recover::read(&table, &link));
        let start = Step::load(reader, "redeploy", &defaults(reader, &[]), &[KEYS.as_slice(), &["kind", "recover"]].concat());
        if let Some(start) = &start {
            start.check(&link.scope(), reader.problems());
        }
        if reader.problems().count() > before {
            return None;
        }
        let start = start?;
        let target = target(start.request())?;
        let recover = match recover {
            Some(recover) => Some(recover?),
            None => None,
        };
        Some(Self { start, recover, link, target })
    }

    fn vars(vars: &HookVars) -> Vars {
        let mut known = Vars::new();
        set(&mut known, "policy.name", &vars.policy);
        set(&mut known, "rotation.id", &vars.rotation);
        set(&mut known, "rotation.uuid", &vars.run);
        set(&mut known, "new.id", &vars.key_id);
        set(&mut known, "new.fingerprint", &vars.fingerprint);
        known
    }

    async fn look(&self, recover: &Recover, http: &Http, vars: &Vars) -> Look {
        let unclear = |refusal: &Refusal| {
            let cause = Cause::new(&self.link.label, "recover");
            let cause = Cause { status: refusal.status, ..cause };
            Look::Unclear(
                cause.hint(format!("the look for the earlier start failed ({}); check `recover`", refusal.class.label())),
            )
        };
        match recover.step.send(http, &no_origins(), vars, self.link.surroundings.clock.now()).await {
            Sent::Unsent(refusal) => unclear(&refusal),
            Sent::Unknown(cause, _) => Look::Unclear(self.link.cause(cause)),
            Sent::Reply(reply) if recover.found.holds(&reply, vars) => Look::Found(reply),
            Sent::Reply(reply) => match recover.step.judge(&reply, vars) {
                Judged::Done => Look::Absent,
                Judged::Refused(refusal) if refusal.class == Class::Gone => Look::Absent,
                Judged::Refused(refusal) => unclear(&refusal),
                Judged::Unknown(cause) => Look::Unclear(self.link.cause(cause)),
            },
        }
    }

    /// An earlier start was found: what is left is to see it done, by the polls of `recover` or else those of the start.
    async fn go_on(&self, recover: &Recover, http: &Http, vars: &Vars, found: &Reply) -> Outcome<()> {
        let Some(step) = [&recover.step, &self.start].into_iter().find(|step| step.polls()) else { return Outcome::Done(()) };
        match step.poll(http, &no_origins(), vars, found, &*self.link.surroundings.clock).await {
            Polled::Done(_) => Outcome::Done(()),
            Polled::Refused(refusal) => Outcome::Refused(refusal),
            Polled::Unknown(cause, _) => Outcome::Unknown(cause),
        }
    }
}

impl Recover {
    fn read(reader: &Reader<'_>, link: &Link) -> Option<Self> {
        if !reader.has("found") {
            reader.wrong(
                "found",
                "missing",
                "a MATCH that holds when the earlier start is there: { body = { \"/state\" = \"running\" } }",
            );
        }
        let found = Match::load(reader, "found");
        let step = Step::load(reader, "recover", &defaults(reader, &["found"]), &["found"]);
        let scope = link.scope();
        if let Some(found) = &found {
            found.check(&scope, reader.problems());
        }
        if let Some(step) = &step {
            step.check(&scope, reader.problems());
        }
        Some(Self { step: step?, found: found? })
    }
}

#[async_trait]
impl Hook for HttpHook {
    /// The start's deadline and that of `recover`, polls included.
    fn timeout(&self) -> Duration {
        let recover = self.recover.as_ref().map_or(Duration::ZERO, |recover| recover.step.timeout());
        self.start.timeout().saturating_add(recover)
    }

    /// Only with `recover`: a start that may have happened is never repeated blindly.
    fn repeatable(&self) -> bool {
        self.recover.is_some()
    }

    /// The credential can be opened, the certificates can be read, the host's name resolves.
    async fn present(&self) -> Result<(), Refusal> {
        self.link.open(&mut Vars::new()).await?;
        let (host, port) = &self.target;
        match tokio::net::lookup_host((host.as_str(), *port)).await.map(|mut found| found.next().is_some()) {
            Ok(true) => Ok(()),
            _ => Err(Refusal::new(Class::Unsent, &self.link.label)
                .hint(format!("the name {host} does not resolve; correct `request`"))),
        }
    }

    /// As [`Hook::run`]; with [`Again::AfterUnknown`] and without `recover` nothing is sent and it stays unknown.
    async fn run(&self, vars: &HookVars, again: Again) -> Outcome<()> {
        let mut vars = Self::vars(vars);
        let opened = self.link.open(&mut vars).await;
        if again == Again::AfterUnknown {
            // Whatever fails from here on, the earlier start stays unknown until the look has told.
            let still = |hint: String| Outcome::Unknown(Cause::new(&self.link.label, "recover").hint(hint));
            let Some(recover) = &self.recover else {
                return still("an earlier start may have happened and there is no `recover` to look for it".to_owned());
            };
            let http = match &opened {
                Ok(http) => http,
                Err(refusal) => return still(refusal.hint.clone().unwrap_or_default()),
            };
            match self.look(recover, http, &vars).await {
                Look::Found(reply) => return self.link.name(self.go_on(recover, http, &vars, &reply).await),
                Look::Unclear(cause) => return Outcome::Unknown(cause),
                Look::Absent => tracing::debug!(step = self.link.label, "the earlier start did not happen"),
            }
        }
        let http = match opened {
            Ok(http) => http,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let ran = self.start.run(&http, &no_origins(), &vars, &*self.link.surroundings.clock).await;
        self.link.name(ran.map(|_| ()))
    }
}

/// The host and port of `"METHOD https://host:port/path"`; no slot stands in them.
fn target(request: &str) -> Option<(String, u16)> {
    let url = request.split_whitespace().nth(1)?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let url = origin(&format!("{scheme}://{authority}")).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, url.port_or_known_default()?))
}
