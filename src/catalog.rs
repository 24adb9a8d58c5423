//! The one table of built-in plugins. No plugin is named anywhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cutover_api::{Hook, Notifier, Problem, Problems, Provider, Reader, Store, Surroundings, Witness};
use cutover_config::Kinds;
use cutover_hook_command::{CommandHook, CommandWitness};
use cutover_hook_http::{ConsumerWitness, HttpHook};
use cutover_hook_systemd::SystemdHook;
use cutover_notify_smtp::SmtpNotifier;
use cutover_notify_webhook::WebhookNotifier;
use cutover_provider_http::{Definition, HttpProvider, shipped};
use cutover_store_aws::AwsStore;
use cutover_store_file::FileStore;
use cutover_store_vault::VaultStore;

/// Builds a plugin of one kind from its table.
type Build<T> = fn(&Reader<'_>, &Surroundings) -> Option<Box<T>>;

const STORES: &[(&str, Build<dyn Store>)] = &[
    ("vault", |reader, around| Some(Box::new(VaultStore::build(reader, around)?))),
    ("aws-secrets-manager", |reader, around| Some(Box::new(AwsStore::build(reader, around)?))),
    ("file", |reader, around| Some(Box::new(FileStore::build(reader, around)?))),
];

const HOOKS: &[(&str, Build<dyn Hook>)] = &[
    ("command", |reader, around| Some(Box::new(CommandHook::build(reader, around)?))),
    ("http", |reader, around| Some(Box::new(HttpHook::build(reader, around)?))),
    ("systemd", |reader, around| Some(Box::new(SystemdHook::build(reader, around)?))),
];

const WITNESSES: &[(&str, Build<dyn Witness>)] = &[
    ("consumer", |reader, around| Some(Box::new(ConsumerWitness::build(reader, around)?))),
    ("command", |reader, around| Some(Box::new(CommandWitness::build(reader, around)?))),
];

const NOTIFIERS: &[(&str, Build<dyn Notifier>)] = &[
    ("smtp", |reader, around| Some(Box::new(SmtpNotifier::build(reader, around)?))),
    ("webhook", |reader, around| Some(Box::new(WebhookNotifier::build(reader, around)?))),
];

/// How the place of a store is typed in one word, after its kind and a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// `/directory/file`
    File,
    /// `https://host:port/mount/path`
    Url,
    /// `region/path`
    Region,
}

/// What `cutover init` writes for one kind of store or channel; `@NAME@` stands for what was answered.
#[derive(Clone, Copy, Debug)]
pub struct Starter {
    /// How it is named where it is typed.
    pub word: &'static str,
    /// How its place is typed.
    pub typed: Typed,
    /// Its table.
    pub text: &'static str,
}

/// The starters of the stores.
pub const STORE_STARTERS: &[Starter] = &[
    Starter { word: "file", typed: Typed::File, text: include_str!("../plugins/store-file/starter.toml") },
    Starter { word: "vault", typed: Typed::Url, text: include_str!("../plugins/store-vault/starter.toml") },
    Starter { word: "aws", typed: Typed::Region, text: include_str!("../plugins/store-aws/starter.toml") },
];

/// The file behind a target, where its store keeps targets in files of this machine. `table` is the store's, as JSON.
#[must_use]
pub fn file_of(kind: &str, table: &serde_json::Value, path: &str) -> Option<PathBuf> {
    let root = table.get("root").filter(|_| kind == "file")?;
    Some(Path::new(root.as_str()?).join(path))
}

/// What a param of the shipped definitions is, for a person who is asked for it.
const PARAMS: [(&str, &str); 6] = [
    ("workspace", "the workspace that the key belongs to, as it stands in the provider's addresses"),
    ("slug", "the integration's slug, as it stands in the provider's addresses"),
    ("base_name", "the key's name in the provider's list, without a year in brackets"),
    ("scope", "the scope of the key, the same as that of the key in use"),
    ("label", "the key's label in the provider's dashboard"),
    ("page", "the page of the provider's dashboard where the key stands"),
];

/// What is asked for by a param's name: in words where they are known, else by the name alone.
#[must_use]
pub fn param_in_words(name: &str) -> String {
    let known = PARAMS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| format!("what the definition calls {name}"), |(_, words)| (*words).to_owned())
}

/// What is written for a channel that is typed as a mail address, and for one that is typed as a URL.
pub const MAIL_STARTER: &str = include_str!("../plugins/notify-smtp/starter.toml");
/// See [`MAIL_STARTER`].
pub const WEBHOOK_STARTER: &str = include_str!("../plugins/notify-webhook/starter.toml");

/// Where an operator's own definitions are, unless `CUTOVER_PROVIDERS` names another directory.
const DEFINITIONS: &str = "/etc/cutover/providers";

/// The directory of an operator's own definitions.
#[must_use]
pub fn definitions_directory() -> PathBuf {
    std::env::var_os("CUTOVER_PROVIDERS").map_or_else(|| PathBuf::from(DEFINITIONS), PathBuf::from)
}

/// The built-in plugins and the definitions that are known.
#[derive(Clone)]
pub struct Catalog {
    around: Surroundings,
    definitions: BTreeMap<String, Known>,
}

/// One definition.
#[derive(Clone)]
pub struct Known {
    /// Its text.
    pub text: String,
    /// Shipped in the program, not read from a file.
    pub shipped: bool,
    /// What it says, read once; nothing where it is wrong.
    parsed: OnceLock<Option<Definition>>,
}

impl Known {
    fn new(text: String, shipped: bool) -> Self {
        Self { text, shipped, parsed: OnceLock::new() }
    }
}

impl Catalog {
    /// The built-in plugins with the shipped definitions and those of `directory`; one there with a shipped name takes its place.
    ///
    /// # Errors
    /// Every definition of the directory that cannot be used.
    pub fn open(around: Surroundings, directory: &Path) -> Result<Self, Vec<Problem>> {
        let mut definitions: BTreeMap<String, Known> =
            shipped().iter().map(|(name, text)| ((*name).to_owned(), Known::new((*text).to_owned(), true))).collect();
        let mut problems = Vec::new();
        let files = std::fs::read_dir(directory).map(|all| all.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
        for path in files.unwrap_or_default() {
            if path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let file = path.display().to_string();
            match std::fs::read_to_string(&path).map_err(|error| error.to_string()) {
                Ok(text) => match Definition::parse(&file, &text) {
                    Ok(definition) => {
                        definitions.insert(definition.name().to_owned(), Known::new(text, false));
                    }
                    Err(all) => problems.extend(all),
                },
                Err(error) => {
                    let list = Problems::default();
                    list.add(&cutover_api::Place::nowhere(), file, format!("cannot be read ({error})"), "a readable file");
                    problems.extend(list.take());
                }
            }
        }
        if problems.is_empty() { Ok(Self { around, definitions }) } else { Err(problems) }
    }

    /// The definitions by name.
    #[must_use]
    pub const fn known(&self) -> &BTreeMap<String, Known> {
        &self.definitions
    }

    /// What a definition says, by its name. Nothing where there is none, or it is wrong.
    #[must_use]
    pub fn parsed(&self, name: &str) -> Option<&Definition> {
        let known = self.definitions.get(name)?;
        known.parsed.get_or_init(|| Definition::parse(&format!("{name}.toml"), &known.text).ok()).as_ref()
    }

    /// Reads a definition's text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_definition(file: &str, text: &str) -> Result<Definition, Vec<Problem>> {
        Definition::parse(file, text)
    }

    /// Builds an account from a definition's text and its table.
    #[must_use]
    pub fn account(&self, name: &str, text: &str, reader: &Reader<'_>) -> Option<Box<dyn Provider>> {
        match Definition::parse(&format!("{name}.toml"), text) {
            Ok(definition) => Some(Box::new(HttpProvider::build(&definition, reader, &self.around)?)),
            Err(problems) => {
                for problem in problems {
                    reader.problems().push(problem);
                }
                None
            }
        }
    }
}

fn find<T: ?Sized>(table: &[(&str, Build<T>)], kind: &str) -> Option<Build<T>> {
    table.iter().find(|(name, _)| *name == kind).map(|(_, build)| *build)
}

impl Kinds for Catalog {
    fn names(&self) -> [Vec<&'static str>; 4] {
        [
            STORES.iter().map(|(name, _)| *name).collect(),
            HOOKS.iter().map(|(name, _)| *name).collect(),
            WITNESSES.iter().map(|(name, _)| *name).collect(),
            NOTIFIERS.iter().map(|(name, _)| *name).collect(),
        ]
    }

    fn store(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Store>> {
        find(STORES, kind)?(reader, &self.around)
    }

    fn hook(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Hook>> {
        find(HOOKS, kind)?(reader, &self.around)
    }

    fn witness(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Witness>> {
        find(WITNESSES, kind)?(reader, &self.around)
    }

    fn notifier(&self, kind: &str, reader: &Reader<'_>) -> Option<Box<dyn Notifier>> {
        find(NOTIFIERS, kind)?(reader, &self.around)
    }

    fn definitions(&self) -> Vec<String> {
        self.definitions.keys().cloned().collect()
    }

    fn definition(&self, name: &str) -> Option<String> {
        self.definitions.get(name).map(|known| known.text.clone())
    }

    fn provider(&self, definition: &str, reader: &Reader<'_>) -> Option<Box<dyn Provider>> {
        self.account(definition, &self.definitions.get(definition)?.text, reader)
    }
}
