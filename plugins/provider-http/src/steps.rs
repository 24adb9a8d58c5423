//! The steps of a definition, loaded and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cutover_api::{Problems, Reader, Span, Table};
use cutover_http_step::{Auth, Defaults, Match, Rows, Scope, Step, Template};

use crate::definition::STEPS;
use crate::fields;
use crate::manual::{self, ByHand};
use crate::order::Before;
use crate::params::plain_name;
use crate::rules::{KEY_VERBS, inner, said_by};
use crate::said::slots;
use crate::scopes::{Scopes, helpers};

/// A step and what has to run before it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) step: Step,
    pub(crate) before: Before,
}

/// `[list]`.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) loaded: Loaded,
    pub(crate) rows: Rows,
}

/// `[probe]`.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) loaded: Loaded,
    pub(crate) accepted: Match,
    pub(crate) refused: Match,
    pub(crate) consecutive: u32,
    pub(crate) every: Duration,
}

/// `[login]`.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) loaded: Loaded,
    pub(crate) ttl: Option<Span>,
    /// The parameters it says: logins that differ in them are not shared.
    pub(crate) params: BTreeSet<String>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    /// The mint; none where a person makes the key.
    pub(crate) mint: Option<Loaded>,
    /// `[manual]`.
    pub(crate) by_hand: Option<ByHand>,
    pub(crate) list: Option<List>,
    pub(crate) probe: Option<Probe>,
    pub(crate) login: Option<Login>,
    /// `read`, `last_used`, `deactivate`, `activate`, `revoke`, `discard`, by name.
    pub(crate) verbs: BTreeMap<String, Loaded>,
    pub(crate) helpers: BTreeMap<String, Step>,
}

impl Steps {
    /// Loads every step and checks its slots. `None` when one that is there did not come out whole: why has been reported.
    pub(crate) fn load(
        root: &Reader<'_>,
        defaults: &Defaults,
        scopes: &Scopes<'_>,
        mint: &str,
        idempotency: Option<&str>,
    ) -> Option<Self> {
        let loader = Loader { root, defaults, scopes };
        let by_person = mint == manual::TABLE;
        let by_hand = ByHand::load(root, scopes).filter(|_| by_person);
        let minted = if by_person { None } else { loader.step(mint, &scopes.mint(mint), &[]) };
        if !by_person && let Some(table) = inner(root.table_itself(), mint) {
            fields::mint(root, mint, table, scopes.outputs);
        }
        let list = loader.list();
        let probe = loader.probe();
        let login = loader.login();
        let verbs = loader.verbs();
        let helpers = loader.helpers(mint);
        let minted = match (minted, idempotency) {
            (Some(mut minted), Some(header)) => {
                let nonce = Template::parse("{{ rotation.nonce }}").ok()?;
                minted.step = minted.step.with_header(header, nonce);
                Some(minted)
            }
            (minted, _) => minted,
        };
        if minted.is_none() && by_hand.is_none() {
            return None;
        }
        Some(Self { mint: minted, by_hand, list: list?, probe: probe?, login: login?, verbs: verbs?, helpers: helpers? })
    }

    /// The longest a mint can take, what runs before it included: until then nothing is known about a lost reply.
    pub(crate) fn mint_timeout(&self) -> Span {
        let with_helpers = |loaded: &Loaded| {
            let helpers = loaded.before.helpers.iter().filter_map(|name| self.helpers.get(name)).map(Step::timeout);
            helpers.chain([loaded.step.timeout()]).sum::<Duration>()
        };
        let Some(mint) = &self.mint else { return Span::seconds(30) };
        let login = self.login.as_ref().filter(|_| mint.before.login).map(|login| with_helpers(&login.loaded));
        let whole = with_helpers(mint) + login.unwrap_or_default();
        Span(i64::try_from(whole.as_millis()).unwrap_or(i64::MAX))
    }
}

struct Loader<'a> {
    root: &'a Reader<'a>,
    defaults: &'a Defaults,
    scopes: &'a Scopes<'a>,
}

impl Loader<'_> {
    fn problems(&self) -> &Problems {
        self.root.problems()
    }

    fn step(&self, name: &str, scope: &Scope, extra: &[&str]) -> Option<Loaded> {
        self.step_with(name, scope, extra, self.defaults)
    }

    fn step_with(&self, name: &str, scope: &Scope, extra: &[&str], defaults: &Defaults) -> Option<Loaded> {
        let reader = self.root.table(name)?;
        let step = Step::load(&reader, name, defaults, extra)?;
        step.check(scope, self.problems());
        let before = Before::of(self.root.table_itself(), reader.table_itself());
        Some(Loaded { step, before })
    }

    /// `Some(None)`: there is none. `None`: it is there and of no use.
    fn list(&self) -> Option<Option<List>> {
        let Some(reader) = self.root.has("list").then(|| self.root.table("list")) else { return Some(None) };
        let reader = reader?;
        let scope = self.scopes.bare("list");
        let rows = Rows::load(&reader);
        if let Some(rows) = &rows {
            rows.check(&scope, self.problems());
        }
        let loaded = self.step("list", &scope, Rows::KEYS);
        Some(Some(List { loaded: loaded?, rows: rows? }))
    }

    fn probe(&self) -> Option<Option<Probe>> {
        let Some(reader) = self.root.has("probe").then(|| self.root.table("probe")) else { return Some(None) };
        let reader = reader?;
        let scope = self.scopes.verb("probe");
        let (accepted, refused) = (Match::load(&reader, "accepted"), Match::load(&reader, "refused"));
        for found in [&accepted, &refused].into_iter().flatten() {
            found.check(&scope, self.problems());
        }
        let consecutive = reader.integer("consecutive", 1..=20);
        let every = reader.span("every").unwrap_or(Span::seconds(2));
        if every > Span::minutes(10) {
            reader.wrong("every", "is longer than 10m", "so long as the provider needs between two like answers");
        }
        let loaded = self.step("probe", &scope, &["accepted", "refused", "consecutive", "every"]);
        let consecutive = consecutive.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let every = Duration::from_millis(u64::try_from(every.0).unwrap_or(0));
        Some(Some(Probe { loaded: loaded?, accepted: accepted?, refused: refused?, consecutive, every }))
    }

    fn login(&self) -> Option<Option<Login>> {
        let Some(reader) = self.root.has("login").then(|| self.root.table("login")) else { return Some(None) };
        let reader = reader?;
        let ttl = reader.span("ttl");
        let root = self.root.table_itself();
        // An [auth] that is made from the login cannot sign the login itself.
        let mut defaults = self.defaults.clone();
        let signed_by_login = |auth: &Table| slots(auth).iter().any(|slot| slot.path.starts_with("steps.login."));
        if inner(root, "auth").is_some_and(signed_by_login) {
            defaults.auth = Auth::None;
        }
        let loaded = self.step_with("login", &self.scopes.bare("login"), &["ttl"], &defaults);
        let said = said_by(root, reader.table_itself());
        let params = said.iter().filter_map(|slot| slot.path.strip_prefix("params.")).map(str::to_owned).collect();
        self.keeps("login");
        let mut loaded = loaded?;
        loaded.before.login = false;
        Some(Some(Login { loaded, ttl, params }))
    }

    fn verbs(&self) -> Option<BTreeMap<String, Loaded>> {
        let mut whole = true;
        let mut verbs = BTreeMap::new();
        for name in KEY_VERBS.into_iter().filter(|name| *name != "probe" && self.root.has(name)) {
            let loaded = self.step(name, &self.scopes.verb(name), &[]);
            if let Some(table) = inner(self.root.table_itself(), name) {
                fields::verb(self.root, name, table, self.scopes.outputs);
            }
            match loaded {
                Some(mut loaded) => {
                    if name == "last_used" {
                        loaded.step = loaded.step.sparse();
                    }
                    verbs.insert(name.to_owned(), loaded);
                }
                None => whole = false,
            }
        }
        whole.then_some(verbs)
    }

    fn helpers(&self, mint: &str) -> Option<BTreeMap<String, Step>> {
        let mut whole = true;
        let mut loaded = BTreeMap::new();
        let Some(all) = self.root.has("step").then(|| self.root.table("step")) else { return Some(loaded) };
        let all = all?;
        let root = self.root.table_itself();
        let users = |verb: &str, name: &str| {
            inner(root, verb).is_some_and(|step| Before::of(root, step).helpers.iter().any(|one| one == name))
        };
        for (name, table) in helpers(root) {
            let Some(reader) = all.table(name) else { continue };
            let bare = ["list", "login"].iter().any(|verb| users(verb, name));
            let before_mint = users(mint, name) && !bare;
            let before_verb = KEY_VERBS.iter().any(|verb| users(verb, name)) && !bare;
            let scope = self.scopes.helper(&format!("step.{name}"), before_mint, before_verb);
            if !plain_name(name) || STEPS.contains(&name.as_str()) {
                all.wrong(name, "is no name for a helper", "letters, digits, _ and -, and not the name of a step");
            }
            let before = Before::of(root, table);
            if before.helpers.contains(name) || (before.login && users("login", name)) {
                self.root.problems().add(
                    &table.place,
                    format!("step.{name}"),
                    "runs before itself",
                    "steps that say one another in one direction only",
                );
                whole = false;
                continue;
            }
            match Step::load(&reader, name, self.defaults, &[]) {
                Some(step) => {
                    step.check(&scope, self.problems());
                    if step.method() != "GET" {
                        reader.wrong("request", "is no GET", "a helper only looks: \"GET /path\"");
                    }
                    loaded.insert(name.clone(), step);
                }
                None => whole = false,
            }
            if inner(table, "keep").is_none() {
                reader.wrong("keep", "missing", "what the step is for: { NAME = SOURCE }");
            }
        }
        all.finish();
        whole.then_some(loaded)
    }

    fn keeps(&self, name: &str) {
        let Some(table) = inner(self.root.table_itself(), name) else { return };
        if inner(table, "keep").is_none() {
            let place = crate::rules::place_of(self.root.table_itself(), name);
            self.problems().add(place, format!("{name}.keep"), "missing", "what the step is for: { token = SOURCE }");
        }
    }
}
