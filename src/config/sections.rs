//! `[daemon]` and `[emergency]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use cutover_api::{Entry, Problems, Reader, SecretRef, Table, Value};

use crate::built::{BuiltAccount, words};
use crate::{Config, Daemon, EmergencyTable, Listen, Selector};

/// Where the ledger is when nothing is said.
const LEDGER: &str = "sqlite:/var/lib/cutover/ledger.db";
/// Where the control socket is when nothing is said.
const CONTROL: &str = "/run/cutover/control.sock";
/// Where page, metrics and health are when nothing is said.
const LISTEN: &str = "127.0.0.1:9464";
/// A socket for them instead.
const SOCKET: &str = "unix:/run/cutover/web.sock";
/// Calls under way at once.
const MAX_IN_FLIGHT: usize = 64;
/// Rotations started in an hour.
const MAX_STARTS_PER_HOUR: u32 = 1000;
/// The longest path that a socket's address holds, in bytes.
const LONGEST_SOCKET: usize = 107;
/// What is right where a secret belongs.
const THREE_WAYS: &str = "write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }";

/// Reads `[daemon]`.
pub(crate) fn daemon(root: &Reader<'_>, notes: &Problems) -> Option<Daemon> {
    if !root.has("daemon") {
        root.wrong("daemon", "missing", "a table [daemon] with at least `name` and `seal`");
    }
    let reader = root.table("daemon")?;
    let name = reader.require_text("name", "a name for this installation, such as \"prod\": it stands in every alert");
    let ledger = ledger(&reader);
    let seal = seal(&reader);
    let control = control(&reader);
    let listen = listen(&reader, notes);
    let max_in_flight = reader.integer("max_in_flight", 1..=4096).and_then(|n| usize::try_from(n).ok());
    let max_starts_per_hour = reader.integer("max_starts_per_hour", 1..=1_000_000).and_then(|n| u32::try_from(n).ok());
    reader.finish();
    Some(Daemon {
        name: name?.to_owned(),
        ledger: ledger?,
        seal,
        control: control?,
        listen,
        max_in_flight: max_in_flight.unwrap_or(MAX_IN_FLIGHT),
        max_starts_per_hour: max_starts_per_hour.unwrap_or(MAX_STARTS_PER_HOUR),
    })
}

/// `"sqlite:PATH"` or `{ url = … }`.
fn ledger(daemon: &Reader<'_>) -> Option<PathBuf> {
    if !matches!(daemon.node("ledger").map(|node| &node.value), Some(Value::Table(_))) {
        let url = if daemon.has("ledger") { daemon.text("ledger")? } else { LEDGER };
        return sqlite(daemon, "ledger", url);
    }
    let table = daemon.table("ledger")?;
    let url = table.require_text("url", "where the ledger is: \"sqlite:/var/lib/cutover/ledger.db\"");
    if table.has("password") {
        reference(&table, "password");
        if url.is_some_and(|url| url.starts_with("sqlite:")) {
            table.wrong("password", "is of no use", "leave it out: an SQLite file has no password");
        }
    }
    table.known("password");
    table.finish();
    sqlite(&table, "url", url?)
}

fn sqlite(reader: &Reader<'_>, key: &str, url: &str) -> Option<PathBuf> {
    let right = "must be \"sqlite:\" and an absolute path: \"sqlite:/var/lib/cutover/ledger.db\"";
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        reader.wrong(key, "not yet: this version keeps its ledger in SQLite only", right);
        return None;
    }
    let plain = |path: &&str| {
        path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/') && !path.contains(['?', '#', '\0'])
    };
    let path = url.strip_prefix("sqlite:").filter(plain);
    if path.is_none() {
        reader.wrong(key, "is not the address of a ledger", right);
    }
    path.map(PathBuf::from)
}

/// One reference or a list of them.
fn seal(daemon: &Reader<'_>) -> Vec<SecretRef> {
    let Some(node) = daemon.node("seal") else {
        daemon.wrong("seal", "missing", format!("the sealing key, made by `cutover keygen`: {THREE_WAYS}"));
        return Vec::new();
    };
    let Value::Array(items) = &node.value else { return reference(daemon, "seal").into_iter().collect() };
    if items.is_empty() {
        daemon.wrong("seal", "is empty", "at least one reference: the first seals, all open");
    }
    let one = |(n, item): (usize, &cutover_api::Node)| {
        let key = format!("seal[{n}]");
        let mut table = Table { place: item.place.clone(), ..Table::empty() };
        table.entries.insert(key.clone(), Entry { key: item.place.clone(), node: item.clone() });
        reference(&Reader::new(&table, daemon.path(), daemon.problems()), &key)
    };
    items.iter().enumerate().filter_map(one).collect()
}

/// A reference to a secret, with nothing beside it.
fn reference(reader: &Reader<'_>, key: &str) -> Option<SecretRef> {
    let found = reader.secret(key)?;
    let table = reader.table(key)?;
    ["env", "file", "credential"].iter().for_each(|way| table.known(way));
    table.finish();
    Some(found)
}

fn control(daemon: &Reader<'_>) -> Option<PathBuf> {
    let path = if daemon.has("control") { daemon.text("control")? } else { CONTROL };
    socket(daemon, "control", path, CONTROL)
}

/// The path of a Unix socket.
fn socket(daemon: &Reader<'_>, key: &str, path: &str, such_as: &str) -> Option<PathBuf> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        daemon.wrong(key, "is not the absolute path of a socket", format!("such as \"{such_as}\""));
        return None;
    }
    if path.len() > LONGEST_SOCKET {
        let wrong = format!("has {} bytes", path.len());
        daemon.wrong(key, wrong, format!("at most {LONGEST_SOCKET}: a socket's address holds no more"));
        return None;
    }
    Some(PathBuf::from(path))
}

/// `"ADDRESS:PORT"`, `"unix:PATH"`, or `""` for none.
fn listen(daemon: &Reader<'_>, notes: &Problems) -> Option<Listen> {
    let text = if daemon.has("listen") { daemon.text("listen")? } else { LISTEN };
    if text.is_empty() {
        return None;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(daemon, "listen", path, SOCKET).map(Listen::Unix);
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let right =
            format!("must be an address and a port such as \"{LISTEN}\" or \"[::1]:9464\", or \"{SOCKET}\"; \"\" = off");
        daemon.wrong("listen", "is not an address and a port", right);
        return None;
    };
    let listen = Listen::Tcp(address);
    if !listen.is_local()
        && let Some(node) = daemon.node("listen")
    {
        let wrong = "is not on loopback: whoever reaches it reads /metrics, with the names of policies; there is no page";
        notes.add(&node.place, "daemon.listen", wrong, "a firewall in front of it, or loopback and an SSH tunnel");
    }
    Some(listen)
}

/// Reads `[emergency]`, whose names must be those of policies and providers that are there.
pub(crate) fn emergency(
    root: &Reader<'_>,
    named: &BTreeSet<&str>,
    accounts: &BTreeMap<String, BuiltAccount>,
) -> Option<EmergencyTable> {
    let reader = root.table("emergency")?;
    let order = reader.choice("order", &[("cut-first", false), ("deploy-first", true)]);
    let mut found = EmergencyTable { select: Selector::default(), deploy_first: order.unwrap_or(false) };
    let right = "must be \"all\", or a table of tags, policies, providers, holders: { tags = [\"prod\"] }";
    match reader.node("select").map(|node| &node.value) {
        None => reader.wrong("select", "missing", right),
        Some(Value::Text(text)) if text == "all" => found.select.all = true,
        Some(Value::Table(_)) => select(&reader, &mut found.select, named, accounts),
        Some(Value::Text(_)) => reader.wrong("select", "is another string than \"all\"", right),
        Some(other) => reader.wrong("select", format!("is {}", other.kind()), right),
    }
    reader.finish();
    Some(found)
}

/// Notes a selection that SIGUSR1 would find empty.
pub(crate) fn selects_something(root: &Reader<'_>, config: &Config, notes: &Problems) {
    let (Some(node), Some(table)) = (root.node("emergency"), &config.emergency) else { return };
    if !config.policies.is_empty() && !config.policies.values().any(|policy| table.select.selects(policy, config)) {
        let right = "a selection that names at least one policy, or \"all\"";
        notes.add(&node.place, "emergency.select", "selects no policy: SIGUSR1 would change nothing", right);
    }
}

fn select(emergency: &Reader<'_>, found: &mut Selector, named: &BTreeSet<&str>, accounts: &BTreeMap<String, BuiltAccount>) {
    let Some(table) = emergency.table("select") else { return };
    if table.table_itself().entries.is_empty() {
        emergency.wrong("select", "is empty", "write \"all\", or at least one of tags, policies, providers, holders");
    }
    found.tags = words(&table, "tags");
    found.policies = words(&table, "policies");
    found.providers = words(&table, "providers");
    found.holders = words(&table, "holders");
    for name in found.policies.iter().filter(|name| !named.contains(name.as_str())) {
        table.wrong("policies", format!("there is no policy \"{}\"", name.escape_debug()), "the name of a [policy.NAME]");
    }
    for name in found.providers.iter().filter(|name| !accounts.contains_key(name.as_str())) {
        table.wrong("providers", format!("there is no provider \"{}\"", name.escape_debug()), "the name of a [provider.NAME]");
    }
    for key in ["tags", "policies", "providers", "holders"] {
        if matches!(table.table_itself().get(key).map(|node| &node.value), Some(Value::Array(items)) if items.is_empty()) {
            table.wrong(key, "is empty", "at least one, or leave the key out");
        }
    }
    table.finish();
}
