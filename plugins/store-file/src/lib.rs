//! The store that keeps keys in files below a root: dotenv files, JSON objects, or one bare value.
//!
//! A write replaces the whole file by a rename, so a reader sees the old content or the new one, whatever crashes. It is a
//! compare-and-set by the SHA-256 of the content, under an advisory lock (`flock`) of the file's directory; somebody who writes
//! without that lock is seen up to the rename itself. Owner, group, mode, ACL and SELinux label of an existing file are carried
//! over. No part of a path may be a symbolic link; the root may be.
//!
//! What a crash can leave behind is a file `.cutover-tmp-` and 16 hex digits beside the target, readable by its owner only or by whom
//! the target is readable. The next write or proof in that directory removes it: temporary files are only made under the lock, so one
//! that is found while holding it belongs to nobody.
//!
//! A file that is mounted by itself into a container, or has a second hard link, would not show the new content there: it is refused.

mod access;
mod content;
mod dotenv;
mod fault;
mod place;
mod replace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover_api::{Cause, Change, Outcome, Reader, Reading, Secret, Store, Surroundings, TargetSpec, Value};

use crate::access::Access;
use crate::content::Format;
use crate::fault::{Fault, Result};
use crate::place::{Content, Place};
use crate::replace::{Gate, Open};

/// After this long a file system that does not answer is given up on.
const DEADLINE: Duration = Duration::from_secs(30);
/// What a proof writes beyond the size of the target.
const SPARE: usize = 4096;

/// Keys in files below a root.
pub struct FileStore {
    root: PathBuf,
    gate: Arc<dyn Gate>,
}

impl FileStore {
    /// Reads `[store.NAME]` with `kind = "file"`: `root`, an absolute path. Touches no file. Reports every problem, unknown keys
    /// included; `None` when there is one.
    #[must_use]
    pub fn build(reader: &Reader<'_>, _surroundings: &Surroundings) -> Option<Self> {
        let before = reader.problems().count();
        reader.known("kind");
        reader.known("holders");
        let what = "must be the absolute path of a directory, without `.` and `..`";
        let root = reader.require_text("root", what);
        let is_root = |root: &str| {
            root == "/" || root.trim_end_matches('/').strip_prefix('/').is_some_and(|path| place::fault_of(path).is_none())
        };
        if let Some(root) = root.filter(|root| !is_root(root)) {
            reader.wrong("root", format!("{root:?} is not such a path"), what);
        }
        reader.finish();
        if reader.problems().count() > before {
            return None;
        }
        Some(Self::at(Path::new(root?)))
    }

    /// A store below `root`, which must be absolute.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), gate: Arc::new(Open) }
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(step: &'static str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let failed =
            |label: &str| Err(Fault::Unknown(Cause::new(step, label).hint("the file system did not answer; look again")));
        match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => failed("crash"),
            Err(_) => failed("timeout"),
        }
    }

    async fn open(&self, target: &TargetSpec, step: &'static str) -> Result<Place> {
        let (root, path) = (self.root.clone(), target.path.clone());
        Self::blocking(step, move || Place::open(&root, &path, step)).await
    }

    async fn read_fields(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Result<Reading> {
        let step = "read";
        let (format, fields) = (format_of(target, step)?, fields.clone());
        let place = self.open(target, step).await?;
        Self::blocking(step, move || {
            let Some(content) = place.content(step)? else {
                return Ok(Reading { fields: BTreeMap::new(), version: None });
            };
            let found = format.read(&content.bytes, &fields).map_err(|hint| Fault::refused(step, hint))?;
            Ok(Reading { fields: found, version: Some(version(&content.bytes)) })
        })
        .await
    }

    async fn prove_write(&self, target: &TargetSpec) -> Result<()> {
        let step = "prove";
        let (gate, options, format) = (Arc::clone(&self.gate), target.options.clone(), format_of(target, step)?);
        let place = self.open(target, step).await?;
        place.lock(step).await?;
        Self::blocking(step, move || {
            let old = place.content(step)?;
            if let (Format::Json, Some(old)) = (format, &old) {
                let edited = format.edit(Some(&old.bytes), &BTreeMap::new(), &BTreeSet::new());
                edited.map_err(|hint| Fault::refused(step, hint))?;
            }
            let access = access_for(&place, old.as_ref(), &options, step)?;
            let size = old.map_or(0, |old| old.bytes.len()) + SPARE;
            replace::rehearse(&place, size, &access, gate.as_ref(), step)
        })
        .await
    }

    async fn write_fields(&self, target: &TargetSpec, change: Change<'_>) -> Result<String> {
        let step = "write";
        let (gate, options, format) = (Arc::clone(&self.gate), target.options.clone(), format_of(target, step)?);
        let set: BTreeMap<String, Secret> = change.set.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect();
        let (remove, expected) = (change.remove, change.expected);
        let place = self.open(target, step).await?;
        place.lock(step).await?;
        Self::blocking(step, move || {
            let old = place.content(step)?;
            let bytes = old.as_ref().map(|old| old.bytes.as_slice());
            if bytes.map(version) != expected {
                return Err(Fault::changed(step));
            }
            let new = format.edit(bytes, &set, &remove).map_err(|hint| Fault::refused(step, hint))?;
            if bytes != Some(new.as_slice()) {
                let access = access_for(&place, old.as_ref(), &options, step)?;
                replace::replace(&place, old.as_ref(), &new, &access, gate.as_ref(), step)?;
            }
            Ok(version(&new))
        })
        .await
    }
}

#[async_trait]
impl Store for FileStore {
    /// Reads `path` (relative to the root), `format`, and for a file that is not there yet `owner`, `group` and `mode` (default
    /// `0600`). Reads `fields`, `during` and `value` only to see whether they fit the format; they belong to the caller.
    fn target(&self, reader: &Reader<'_>) -> Option<TargetSpec> {
        let before = reader.problems().count();
        let path = reader.require_text("path", "must be a path below the store's root").unwrap_or_default();
        let wrong = if path.is_empty() { None } else { place::fault_of(path) };
        if let Some(wrong) = wrong {
            reader.wrong("path", format!("{path:?} {wrong}"), "must be relative to the store's root, without `.` and `..`");
        }
        if path.rsplit('/').next().is_some_and(replace::is_temporary) {
            reader.wrong("path", "is a name of cutover's temporary files", "must be another name");
        }
        let format = reader.choice("format", &Format::NAMES).or_else(|| Format::of_path(path));
        let bare = reader.has("value");
        check_format(reader, format, bare);
        let mut options = BTreeMap::new();
        for key in ["owner", "group", "mode"] {
            if let Some(text) = reader.text(key) {
                options.insert(key.to_owned(), text.to_owned());
            }
        }
        if options.get("mode").is_some_and(|text| access::mode(text).is_none()) {
            let right = "must be octal, readable by its owner, and give nothing to others: \"0640\"";
            reader.wrong("mode", "is not a mode for a secret", right);
        }
        if reader.problems().count() > before {
            return None;
        }
        options.insert("format".to_owned(), format?.name().to_owned());
        Some(TargetSpec { path: path.to_owned(), bare, options })
    }

    async fn read(&self, target: &TargetSpec, fields: &BTreeSet<String>) -> Outcome<Reading> {
        self.read_fields(target, fields).await.map_or_else(Outcome::from, Outcome::Done)
    }

    async fn prove(&self, target: &TargetSpec) -> Outcome<()> {
        self.prove_write(target).await.map_or_else(Outcome::from, Outcome::Done)
    }

    async fn write(&self, target: &TargetSpec, change: Change<'_>) -> Outcome<Option<String>> {
        self.write_fields(target, change).await.map_or_else(Outcome::from, |version| Outcome::Done(Some(version)))
    }
}

/// Reports a format that does not fit what is to stand in the file.
fn check_format(reader: &Reader<'_>, format: Option<Format>, bare: bool) {
    match (format, bare) {
        // A format that is there and wrong is reported already.
        (None, _) if reader.has("format") => {}
        (None, _) => {
            let right = "must be \"dotenv\", \"json\" or \"raw\" (the default is by extension: .env, .json)";
            reader.wrong("format", "missing, and the path's end does not tell it", right);
        }
        (Some(Format::Raw), false) => {
            reader.wrong("format", "\"raw\" holds one bare value", "give `value` instead of `fields`")
        }
        (Some(Format::Dotenv | Format::Json), true) => {
            reader.wrong("value", "a bare value needs the whole file", "add format = \"raw\", or give `fields`");
        }
        (Some(Format::Dotenv), false) => check_names(reader),
        _ => {}
    }
}

/// Reports fields that cannot be names of variables.
fn check_names(reader: &Reader<'_>) {
    for layout in ["fields", "during"] {
        let Some(Value::Table(table)) = reader.table_itself().get(layout).map(|node| &node.value) else { continue };
        for (name, entry) in table.entries.iter().filter(|(name, _)| !dotenv::is_name(name)) {
            let key = format!("{}.{name}", reader.path_of(layout));
            reader.problems().add(&entry.key, key, "is no name of a variable", "must be letters, digits and _, no digit first");
        }
    }
}

fn format_of(target: &TargetSpec, step: &str) -> Result<Format> {
    let named = target.options.get("format").and_then(|name| Format::named(name)).or_else(|| Format::of_path(&target.path));
    named.ok_or_else(|| Fault::refused(step, "the target's format is not known; add format to it"))
}

/// What a new file is to look like, and whether it could take the old one's place.
fn access_for(place: &Place, old: Option<&Content>, options: &BTreeMap<String, String>, step: &str) -> Result<Access> {
    let Some(old) = old else { return Access::asked(options, step) };
    place.check_replaceable(old, step)?;
    Access::of(old, step)
}

/// SHA-256 of the whole content, in hex.
fn version(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

#[cfg(test)]
mod tests;
