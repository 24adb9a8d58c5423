//! `[STEP.poll]`: a call whose effect comes later.

use std::time::Duration;

use cutover_api::{Cause, Class, Clock, Reader, Refusal};

use crate::check::{Placed, Spot};
use crate::http::{Http, Origins};
use crate::judge::Judged;
use crate::matching::Match;
use crate::page::Page;
use crate::reply::Reply;
use crate::request::{Request, Turn};
use crate::send::{Partial, Sent};
use crate::step::{Defaults, Step, timeout};
use crate::vars::Vars;

/// How polling ended.
pub enum Polled {
    /// `done` held: this reply is the one to seal and extract from.
    Done(Reply),
    /// `failed` held: certainly no effect.
    Refused(Refusal),
    /// Neither in time, or the polling itself was refused.
    Unknown(Cause, Option<Partial>),
}

/// How a step polls.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    request: Request,
    every: Duration,
    pub(crate) done: Match,
    failed: Option<Match>,
    pub(crate) timeout: Duration,
}

impl Poll {
    /// Reads the table; `first` is the step's own request, whose auth it takes over.
    pub(crate) fn load(table: &Reader<'_>, defaults: &Defaults, first: Option<&Request>) -> Option<Self> {
        let auth = first.map_or(&defaults.auth, Request::auth);
        let request = Request::load(table, defaults, auth);
        if !table.has("done") {
            table.problems().add(
                &table.table_itself().place,
                table.path_of("done"),
                "missing",
                "must be the MATCH that ends the polling",
            );
        }
        let done = Match::load(table, "done");
        let failed = Match::load(table, "failed");
        let every = timeout(table, "every", Duration::from_secs(5));
        let timeout = timeout(table, "timeout", Duration::from_secs(600));
        table.finish();
        Some(Self { request: request?, every, done: done?, failed, timeout })
    }

    pub(crate) fn placed(&self, all: &mut Vec<(Spot, Placed)>) {
        self.request.placed(all);
        let matches = self.done.placed().into_iter().chain(self.failed.iter().flat_map(Match::placed));
        all.extend(matches.map(|placed| (Spot::Text, placed)));
    }
}

impl Step {
    /// Whether the step polls.
    #[must_use]
    pub const fn polls(&self) -> bool {
        self.poll.is_some()
    }

    /// Polls until `done`, `failed` or `timeout`. `first` is the expected first reply; its `keep` is read here and seen as
    /// `steps.STEP.NAME`. A step that does not poll is done with its first reply.
    pub async fn poll(&self, http: &Http, origins: &Origins, vars: &Vars, first: &Reply, clock: &dyn Clock) -> Polled {
        let Some(poll) = &self.poll else {
            return match Reply::from_sealed(&first.to_sealed()) {
                Some(reply) => Polled::Done(reply),
                None => Polled::Unknown(self.cause("unreadable", first), None),
            };
        };
        let kept = match self.keep(first, vars) {
            Ok(kept) => kept,
            Err(unreadable) => return Polled::Unknown(self.unreadable(&unreadable, first), None),
        };
        let mut seen = vars.duplicate();
        for (name, value) in kept {
            seen.set(format!("steps.{}.{name}", self.name()), value.into_var());
        }
        let mut last = None;
        let polling = self.poll_on(poll, http, origins, &seen, clock, &mut last);
        match tokio::time::timeout(poll.timeout, polling).await {
            Ok(polled) => polled,
            Err(_) => Polled::Unknown(Cause::new(self.name(), "timeout").hint("the poll did not end in time"), last),
        }
    }

    async fn poll_on(
        &self,
        poll: &Poll,
        http: &Http,
        origins: &Origins,
        vars: &Vars,
        clock: &dyn Clock,
        last: &mut Option<Partial>,
    ) -> Polled {
        loop {
            let sent_at = clock.now();
            let sent = match self.rendered(&poll.request, origins, vars, sent_at, &Turn::First) {
                Ok(rendered) => self.fire(http, rendered, &poll.request, sent_at, self.timeout).await,
                // The first request had its effect: that this one cannot be written does not undo it.
                Err(refusal) => return Polled::Unknown(Cause::new(self.name(), "poll").hint(refusal.to_string()), None),
            };
            match sent {
                Sent::Reply(mut reply) => {
                    reply.polled = true;
                    match self.seen(poll, &reply, vars) {
                        Some(Judged::Done) => return Polled::Done(reply),
                        Some(Judged::Refused(refusal)) => return Polled::Refused(refusal),
                        Some(Judged::Unknown(cause)) => {
                            reply.whole = false;
                            return Polled::Unknown(cause, Some(Partial(reply)));
                        }
                        None => {}
                    }
                }
                Sent::Unsent(_) => {}
                // What was received of a done reply may hold the key: it is kept until there is a better one.
                Sent::Unknown(_, partial) => {
                    if partial.is_some() {
                        *last = partial;
                    }
                }
            }
            tokio::time::sleep(poll.every).await;
        }
    }

    /// What one reply to a poll means; `None` = not yet. A poll reads: what may pass (429, 408, 5xx) is asked again.
    fn seen(&self, poll: &Poll, reply: &Reply, vars: &Vars) -> Option<Judged> {
        let page = Page::of(reply, self.form);
        if poll.done.holds_page(&page, vars) {
            return Some(Judged::Done);
        }
        if poll.failed.as_ref().is_some_and(|failed| failed.holds_page(&page, vars)) {
            return Some(Judged::Refused(Refusal::new(Class::Refused, self.name()).status(i32::from(reply.status))));
        }
        match reply.status {
            200..300 | 408 | 429 | 500..600 => None,
            300..400 => Some(Judged::Unknown(self.cause("redirect", reply))),
            _ => {
                Some(Judged::Unknown(self.cause("poll", reply).hint("the call was accepted, but its end cannot be asked for")))
            }
        }
    }
}
