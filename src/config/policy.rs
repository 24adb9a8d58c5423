//! `[policy.NAME]`.

use std::collections::{BTreeMap, BTreeSet};

use cutover_api::{Problems, Provider, Reader, Span, Value};
use cutover_machine::plan::{GraceOffer, ReRotate};
use cutover_schedule::{Schedule, ScheduleText, WindowText};
use jiff::tz::TimeZoneDatabase;

use crate::built::{self, BuiltAccount, BuiltStore};
use crate::layers::Layers;
use crate::load::Section;
use crate::sums::{self, typed};
use crate::targets::{self, Claims};
use crate::{Kinds, Policy, redeploy, templates, verify};

/// Every key of a policy: what `[defaults]` may hold.
pub(crate) const KEYS: [&str; 19] = [
    "provider", "params", "cadence", "cron", "anchor", "timezone", "window", "jitter", "grace", "quiet", "soak", "lifetime",
    "tags", "holders", "adopt", "target", "redeploy", "verify", "alert",
];

/// The grace where neither the policy nor the provider says one.
const GRACE: Span = Span::hours(24);
/// Between deactivate and revoke, where the policy does not say.
const SOAK: Span = Span::hours(24);
/// The part of the grace that is the default of `quiet`, in percent.
const QUIET_PERCENT: i64 = 25;
/// The default of `alert.at`.
const AT: [u8; 3] = [50, 75, 90];

/// What a policy is judged against.
pub(crate) struct World<'a, 'd> {
    pub(crate) kinds: &'d dyn Kinds,
    pub(crate) stores: &'d BTreeMap<String, BuiltStore>,
    pub(crate) accounts: &'d BTreeMap<String, BuiltAccount>,
    pub(crate) channels: BTreeSet<&'d str>,
    pub(crate) zones: &'d TimeZoneDatabase,
    pub(crate) defaults: Option<&'d Reader<'a>>,
    pub(crate) notes: &'d Problems,
}

/// Reads one policy. `None` when something of it is wrong, which is reported.
pub(crate) fn read(section: &Section<'_>, world: &World<'_, '_>, claims: &mut Claims) -> Option<Policy> {
    let own = &section.reader;
    let before = own.problems().count();
    KEYS.iter().for_each(|key| own.known(key));
    own.finish();
    let layers = Layers { own, defaults: world.defaults };
    let (name, account) = account(&layers, world);
    let provider = account.and_then(|account| account.provider.as_deref());
    let params = params(&layers, name, provider);
    let schedule = schedule(&layers, world.zones);
    let grace = grace(&layers, provider);
    let [quiet, soak] = ["quiet", "soak"].map(|key| span(&layers, key));
    let lifetime = lifetime(&layers, provider);
    let [tags, holders] = ["tags", "holders"].map(|key| built::words(layers.of(key), key));
    let adopt = adopt(&layers);
    let targets = match account {
        Some(account) => targets::read(&layers, &account.scope, world.stores, claims),
        None => targets::read(&layers, &templates::scope(None), world.stores, claims),
    };
    let redeploy = redeploy::read(&layers, world.kinds);
    let verify = verify::read(&layers, provider.map(Provider::facts), &targets.names, world.kinds);
    let (notify, at) = alert(&layers, &world.channels);
    let (grace, grace_mapped) = grace?;
    let policy = Policy {
        name: section.name.clone(),
        place: section.place.clone(),
        provider: name?.to_owned(),
        params,
        schedule: schedule?,
        grace,
        grace_mapped,
        quiet: quiet.unwrap_or_else(|| grace_mapped.percent(QUIET_PERCENT)),
        soak: soak.unwrap_or(SOAK),
        lifetime,
        tags,
        holders,
        adopt,
        targets: targets.sound,
        redeploy,
        verify,
        notify,
        at,
    };
    // A part that is wrong counts as nothing: what is too short even so is told at once with it.
    sums::check(&layers, &policy, provider?.facts(), world.notes);
    sums::first_key(&layers, &policy, &account?.mint_needs, world.notes);
    sums::notes(&layers, &policy, &targets.names, world.notes);
    (own.problems().count() == before).then_some(policy)
}

/// A span; no time at all where what stands there is none, which is reported.
fn span(layers: &Layers<'_, '_>, key: &str) -> Option<Span> {
    let reader = layers.of(key);
    reader.span(key).or_else(|| reader.has(key).then_some(Span::ZERO))
}

/// The lifetime to ask for, as the provider takes it.
fn lifetime(layers: &Layers<'_, '_>, provider: Option<&dyn Provider>) -> Option<Span> {
    let reader = layers.of("lifetime");
    let wanted = reader.span("lifetime");
    if wanted.is_none() && reader.has("lifetime") {
        return None;
    }
    if wanted == Some(Span::ZERO) {
        reader.wrong("lifetime", "is no lifetime", "how long a new key is to live, such as \"400d\"");
        return None;
    }
    let taken = provider?.lifetime(wanted);
    if wanted.is_some() && taken.is_none() {
        let right = "leave it out: its keys live until they are ended, or as long as the provider says";
        reader.wrong("lifetime", "the provider takes no lifetime", right);
    }
    taken
}

/// The provider's name and the account, where it is there.
fn account<'a, 'd>(layers: &Layers<'a, '_>, world: &World<'_, 'd>) -> (Option<&'a str>, Option<&'d BuiltAccount>) {
    let Some(name) = layers.of("provider").require_text("provider", "the name of a [provider.NAME]") else {
        return (None, None);
    };
    let Some(account) = world.accounts.get(name) else {
        let known: Vec<_> = world.accounts.keys().collect();
        let wrong = format!("there is no provider \"{}\"", name.escape_debug());
        let right =
            if known.is_empty() { "add a [provider.NAME]".to_owned() } else { format!("one of {}", built::quoted(&known)) };
        layers.of("provider").wrong("provider", wrong, right);
        return (None, None);
    };
    (Some(name), Some(account))
}

/// `params`, against what the definition takes.
fn params(
    layers: &Layers<'_, '_>,
    account: Option<&str>,
    provider: Option<&dyn Provider>,
) -> BTreeMap<String, serde_json::Value> {
    let table = layers.of("params").table("params");
    let mut given = BTreeMap::new();
    if let Some(table) = &table {
        for (name, entry) in &table.table_itself().entries {
            if matches!(&entry.node.value, Value::Text(text) if text.is_empty()) {
                table.wrong(name, "is empty", "a value, or no such key");
            }
            given.insert(name.clone(), entry.node.to_json());
        }
    }
    let (Some(account), Some(provider)) = (account, provider) else { return given };
    let needs = provider.params();
    for need in needs.iter().filter(|need| need.required && !given.contains_key(&need.name)) {
        let right = format!("provider \"{account}\" needs it");
        match &table {
            Some(table) => table.wrong(&need.name, "missing", right),
            None if layers.has("params") => {}
            None => layers.own.wrong(&format!("params.{}", need.name), "missing", right),
        }
    }
    if let Some(table) = &table {
        if needs.is_empty() && !given.is_empty() {
            layers.of("params").wrong("params", format!("provider \"{account}\" takes no parameters"), "leave it out");
        } else {
            needs.iter().for_each(|need| table.known(&need.name));
            table.finish();
        }
    }
    given
}

fn schedule(layers: &Layers<'_, '_>, zones: &TimeZoneDatabase) -> Option<Schedule> {
    let before = layers.own.problems().count();
    let text = |key: &str| layers.of(key).text(key);
    let window = layers.of("window").table("window");
    let days = window.as_ref().and_then(|window| window.texts("days"));
    let hours = window.as_ref().map(|window| {
        let from = window.require_text("from", "when it opens, \"22:00\"");
        let to = window.require_text("to", "when it closes, \"05:00\"; not later than `from` = on the next day");
        window.finish();
        (from, to)
    });
    let window_text = match hours {
        Some((Some(from), Some(to))) => Some(WindowText { days: days.as_deref(), from, to }),
        _ => None,
    };
    let texts = ScheduleText {
        cadence: text("cadence"),
        cron: text("cron"),
        anchor: layers.moment("anchor"),
        timezone: text("timezone"),
        window: window_text,
        jitter: text("jitter"),
    };
    // A key of another type is reported as such, and is not also missing.
    let typed_wrong = layers.own.problems().count() > before;
    let problems = match Schedule::parse(&texts, zones) {
        Ok(schedule) => return (!typed_wrong).then_some(schedule),
        Err(problems) => problems,
    };
    for problem in problems {
        let misread = ["cadence", "cron"].iter().any(|key| layers.has(key)) && texts.cadence.is_none() && texts.cron.is_none();
        match (problem.field.strip_prefix("window."), &window) {
            (Some(key), Some(window)) => window.wrong(key, problem.wrong, problem.right),
            _ if problem.field == "cadence" && misread => {}
            _ => layers.of(problem.field).wrong(problem.field, problem.wrong, problem.right),
        }
    }
    None
}

/// The grace as wanted, and as the provider grants it.
fn grace(layers: &Layers<'_, '_>, provider: Option<&dyn Provider>) -> Option<(Span, Span)> {
    let reader = layers.of("grace");
    let said = reader.span("grace");
    if said.is_none() && reader.has("grace") {
        return None;
    }
    let facts = provider?.facts();
    let Some(offer) = facts.declares.grace.as_ref().filter(|_| facts.ends_old_by_clock()) else {
        let wanted = said.unwrap_or(GRACE);
        return Some((wanted, wanted));
    };
    let wanted = said.unwrap_or(match offer {
        GraceOffer::Fixed(span) => *span,
        _ => GRACE,
    });
    let longest = match offer {
        GraceOffer::Fixed(span) => Some(*span),
        GraceOffer::Choices(all) => all.last().copied(),
        GraceOffer::Range { max, .. } => Some(*max),
    };
    match offer.mapped(wanted).filter(|mapped| *mapped >= wanted) {
        Some(mapped) => Some((wanted, mapped)),
        None => {
            let longest = typed(longest.unwrap_or_default());
            let wrong = format!("\"{}\" is longer than the provider offers", typed(wanted));
            layers.wrong("grace", wrong, format!("at most \"{longest}\""));
            None
        }
    }
}

fn adopt(layers: &Layers<'_, '_>) -> Option<String> {
    let table = layers.of("adopt").table("adopt")?;
    let id = table.require_text("id", "the provider's id of the key that is in use");
    table.finish();
    id.map(str::to_owned)
}

/// `alert`: the channels and the thresholds.
fn alert(layers: &Layers<'_, '_>, channels: &BTreeSet<&str>) -> (Vec<String>, Vec<u8>) {
    let Some(table) = layers.of("alert").table("alert") else { return (Vec::new(), AT.to_vec()) };
    let notify = built::words(&table, "notify");
    if notify.is_empty() && matches!(table.table_itself().get("notify").map(|node| &node.value), Some(Value::Array(_))) {
        table.wrong("notify", "names no channel", "at least one, or leave it out: every channel is told");
    }
    for name in notify.iter().filter(|name| !channels.contains(name.as_str())) {
        let known: Vec<_> = channels.iter().collect();
        let right =
            if known.is_empty() { "add a [notify.NAME]".to_owned() } else { format!("one of {}", built::quoted(&known)) };
        table.wrong("notify", format!("there is no channel \"{}\"", name.escape_debug()), right);
    }
    let at = thresholds(&table);
    table.finish();
    (notify, at)
}

fn thresholds(alert: &Reader<'_>) -> Vec<u8> {
    let Some(texts) = alert.texts("at") else { return AT.to_vec() };
    let right = "percentages from \"1%\" to \"99%\", each larger than the one before: [\"50%\", \"75%\", \"90%\"]";
    let percent = |text: &String| {
        let digits = text.strip_suffix('%')?;
        let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|n: &u8| plain && *n >= 1)
    };
    let at: Option<Vec<u8>> = texts.iter().map(percent).collect();
    let ascending = |at: &Vec<u8>| !at.is_empty() && at.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    at.filter(ascending).unwrap_or_else(|| {
        alert.wrong("at", "holds something else than ascending percentages", right);
        AT.to_vec()
    })
}

/// Notes policies that very probably rotate one and the same key.
pub(crate) fn same_key(policies: &BTreeMap<String, Policy>, accounts: &BTreeMap<String, BuiltAccount>, notes: &Problems) {
    let mut seen: BTreeMap<String, &Policy> = BTreeMap::new();
    let mut in_order: Vec<_> = policies.values().filter(|policy| !policy.params.is_empty()).collect();
    in_order.sort_by(|a, b| a.place.cmp(&b.place));
    for policy in in_order {
        let facts =
            accounts.get(&policy.provider).and_then(|account| account.provider.as_ref()).map(|provider| provider.facts());
        if facts.is_none_or(|facts| matches!(facts.declares.re_rotate, ReRotate::KeepsAll | ReRotate::Idempotent)) {
            continue;
        }
        if let Some(first) = seen.insert(policy.identity(), policy) {
            let wrong = format!("has the provider and params of policy {} at {}", first.name, first.place);
            let right = "one policy for one key: with this provider the rotation of one can end the key of the other";
            notes.add(&policy.place, format!("policy.{}", policy.name), wrong, right);
        }
    }
}
