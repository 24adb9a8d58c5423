//! Logging in, and keeping the token alive while it is used.

use cutover_api::{Class, Refusal, Secret, SecretRef, Span, Stamp, Surroundings};
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};
use zeroize::Zeroizing;

use crate::settings::Auth;
use crate::wire::{Reply, Trouble, Wire};

/// The longest token that is taken, in bytes.
const LONGEST_TOKEN: usize = 8_192;

/// A token as it is used for one call.
pub(crate) struct Held {
    pub(crate) token: Secret,
    /// It was got for this very call: a 403 is not for its age.
    pub(crate) fresh: bool,
    /// It could not even look itself up, so a 403 may mean that it is dead.
    pub(crate) doubtful: bool,
    number: u64,
}

struct Session {
    token: Secret,
    doubtful: bool,
    since: Stamp,
    /// How long it lives from `since`; `None` = no end is known.
    lease: Option<Span>,
    renewable: bool,
    /// Counts logins, to tell whether another call has logged in again meanwhile.
    number: u64,
}

impl Session {
    fn held(&self, fresh: bool) -> Held {
        Held { token: self.token.duplicate(), fresh, doubtful: self.doubtful, number: self.number }
    }

    fn age(&self, now: Stamp) -> Span {
        now.since(self.since)
    }

    fn expired(&self, now: Stamp) -> bool {
        self.lease.is_some_and(|lease| self.age(now) >= lease)
    }

    /// Two thirds of the lease are over.
    fn ageing(&self, now: Stamp) -> bool {
        self.lease.is_some_and(|lease| self.age(now).0 >= lease.0 / 3 * 2)
    }
}

/// What became of a renewal.
enum Renewal {
    Done,
    /// It was not answered; the token lives on as long as it would have.
    NotNow,
    /// A new login is needed.
    Over,
}

/// The one token of a store.
pub(crate) struct Sessions {
    auth: Auth,
    surroundings: Surroundings,
    /// Held over a login, so that many calls at once log in once.
    current: Mutex<(Option<Session>, u64)>,
}

impl Sessions {
    pub(crate) fn new(auth: Auth, surroundings: Surroundings) -> Self {
        Self { auth, surroundings, current: Mutex::new((None, 0)) }
    }

    /// A token that is good as far as can be told: the one in memory, renewed when two thirds of its lease are over, or a new one.
    pub(crate) async fn token(&self, wire: &Wire) -> Result<Held, Refusal> {
        let mut current = self.current.lock().await;
        let now = self.surroundings.clock.now();
        let Some(session) = current.0.as_mut() else { return self.login(wire, current).await };
        if session.expired(now) {
            return self.login(wire, current).await;
        }
        if !session.ageing(now) {
            return Ok(session.held(false));
        }
        let renewal = if session.renewable { renew(wire, session, now).await } else { Renewal::Over };
        let held = session.held(false);
        if !matches!(renewal, Renewal::Over) {
            return Ok(held);
        }
        // The old token still lives: that the login fails now is no reason not to use it.
        self.login(wire, current).await.or_else(|refusal| {
            tracing::warn!(class = refusal.class.label(), "the login to Vault failed; the present token is used to its end");
            Ok(held)
        })
    }

    /// Another token after a 403 to `held`; `None` when the only one to be had is the one that was refused.
    pub(crate) async fn another(&self, wire: &Wire, held: &Held) -> Result<Option<Held>, Refusal> {
        let current = self.current.lock().await;
        if let Some(session) = current.0.as_ref().filter(|session| session.number != held.number) {
            return Ok(Some(session.held(false)));
        }
        let next = self.login(wire, current).await?;
        Ok((!next.token.same_as(&held.token) || next.doubtful != held.doubtful).then_some(next))
    }

    async fn login(&self, wire: &Wire, mut current: MutexGuard<'_, (Option<Session>, u64)>) -> Result<Held, Refusal> {
        let since = self.surroundings.clock.now();
        let session = match &self.auth {
            Auth::Token { token } => self.adopt(wire, token, since).await,
            Auth::AppRole { mount, role_id, secret_id } => {
                let secret_id = self.open(secret_id)?.expose().to_owned();
                let request = LoginWithApproleRequest { mount: mount.clone(), role_id: role_id.clone(), secret_id };
                granted(&wire.send("login", request, None).await.map_err(unanswered)?, mount, since)
            }
            Auth::Kubernetes { mount, role, jwt } => {
                let jwt = self.open(jwt)?.expose().trim().to_owned();
                let request = LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt };
                granted(&wire.send("login", request, None).await.map_err(unanswered)?, mount, since)
            }
        }?;
        current.1 += 1;
        let session = Session { number: current.1, ..session };
        let held = session.held(true);
        current.0 = Some(session);
        Ok(held)
    }

    fn open(&self, reference: &SecretRef) -> Result<Secret, Refusal> {
        self.surroundings.references.open(reference).map_err(|why| Refusal::new(Class::Auth, "login").hint(why))
    }

    /// A given token: how long it lives is looked up.
    async fn adopt(&self, wire: &Wire, token: &SecretRef, since: Stamp) -> Result<Session, Refusal> {
        let token = usable(self.open(token)?.expose())?;
        let reply = wire.send("login", LookupTokenSelfRequest {}, Some(&token)).await.map_err(unanswered)?;
        let fresh = |lease, renewable, doubtful| Session { token, doubtful, since, lease, renewable, number: 0 };
        match reply.status {
            200 => {
                let life = serde_json::from_slice::<LookedUp>(&reply.body).ok();
                let life = life.ok_or_else(|| unanswered(reply.trouble("login")))?.data;
                Ok(fresh(lease(life.ttl), life.renewable, false))
            }
            // Either it is dead, or its policies do not let it look itself up: the call tells.
            403 => Ok(fresh(None, false, true)),
            _ => Err(unanswered(reply.trouble("login"))),
        }
    }
}

async fn renew(wire: &Wire, session: &mut Session, now: Stamp) -> Renewal {
    let reply = match wire.send("renew", RenewTokenSelfRequest { increment: None }, Some(&session.token)).await {
        Ok(reply) => reply,
        Err(_) => return Renewal::NotNow,
    };
    let auth = match reply.status {
        200 => serde_json::from_slice::<Granted>(&reply.body).ok().map(|granted| granted.auth),
        400..=428 | 430..=499 => None,
        _ => return Renewal::NotNow,
    };
    let Some(auth) = auth else { return Renewal::Over };
    let left = session.lease.map_or(Span::ZERO, |lease| Span(lease.0.saturating_sub(session.age(now).0)));
    let (since, granted) = (now, lease(auth.lease_duration));
    // At the end of the longest life that the server allows a renewal gives no more than was left.
    if granted.is_some_and(|granted| granted <= left) {
        return Renewal::Over;
    }
    session.since = since;
    session.lease = granted;
    session.renewable = auth.renewable;
    Renewal::Done
}

#[derive(Deserialize)]
struct LookedUp {
    data: Life,
}

#[derive(Deserialize)]
struct Life {
    ttl: i64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Granted {
    auth: Grant,
}

#[derive(Deserialize)]
struct Grant {
    client_token: String,
    lease_duration: i64,
    renewable: bool,
}

/// A lease in seconds; zero means that it does not end.
fn lease(seconds: i64) -> Option<Span> {
    (seconds > 0).then(|| Span(seconds.saturating_mul(1_000)))
}

/// What a reply to a login grants.
fn granted(reply: &Reply, mount: &str, since: Stamp) -> Result<Session, Refusal> {
    let refused = |class, hint: String| Refusal::new(class, "login").status(i32::from(reply.status)).hint(hint);
    match reply.status {
        200 => {
            let granted = serde_json::from_slice::<Granted>(&reply.body).map_err(|_| unanswered(reply.trouble("login")))?;
            let Grant { client_token, lease_duration, renewable } = granted.auth;
            let token = usable(&Zeroizing::new(client_token))?;
            Ok(Session { token, doubtful: false, since, lease: lease(lease_duration), renewable, number: 0 })
        }
        400 | 401 | 403 => Err(refused(
            Class::Auth,
            format!("the login at auth/{mount} was refused: check the role and whether its secret is still valid"),
        )),
        404 => {
            Err(refused(Class::Auth, format!("no such auth method is mounted at auth/{mount}: check auth.mount and namespace")))
        }
        _ => Err(unanswered(reply.trouble("login"))),
    }
}

/// Only what can stand in a header is a token.
fn usable(text: &str) -> Result<Secret, Refusal> {
    let token = Secret::new(text.trim().to_owned());
    let visible = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if token.expose().is_empty() || token.expose().len() > LONGEST_TOKEN || !visible {
        let hint = "what stands where the token should be is empty, too long or holds characters that no token has";
        return Err(Refusal::new(Class::Auth, "login").hint(hint));
    }
    Ok(token)
}

/// A login that brought no answer: the call it was for was not made, so that one certainly had no effect.
fn unanswered(trouble: Trouble) -> Refusal {
    trouble.before("not logged in, nothing was changed")
}
