//! The KV v2 engine's requests and replies.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cutover_api::{Change, Class, Secret};
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::{Reply, Trouble};

/// A version that no path ever reaches: every write makes one, and two thousand million writes are not made. It fits the
/// integers of a 32-bit server too.
pub(crate) const NEVER: u64 = i32::MAX as u64;

/// A request that vaultrs has no type for.
pub(crate) struct Raw<'a> {
    path: String,
    body: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    /// Asks what is mounted at `mount`. Any token that may do something there may ask this.
    pub(crate) fn mount(mount: &str) -> Self {
        Self { path: format!("sys/internal/ui/mounts/{mount}"), body: None }
    }

    /// Writes a version. vaultrs has a type for this too, but its body goes through `serde_json::Value`, which changes
    /// numbers that do not fit 64 bits: fields of others must stay as they are.
    pub(crate) fn write(mount: &str, path: &str, body: &'a [u8]) -> Self {
        Self { path: format!("{mount}/data/{path}"), body: Some(body) }
    }
}

impl Endpoint for Raw<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        if self.body.is_some() { RequestMethod::POST } else { RequestMethod::GET }
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.map(<[u8]>::to_vec))
    }
}

/// What stands at a path: the newest version, and its fields as they were sent.
#[derive(Default)]
pub(crate) struct Page<'a> {
    /// `None`: nothing was ever written there.
    pub(crate) version: Option<u64>,
    /// Empty where that version is deleted or destroyed.
    pub(crate) fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    data: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    metadata: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

impl<'a> Page<'a> {
    /// Reads the reply to a read. A 404 has four meanings; only an empty list of errors says that nothing is there.
    pub(crate) fn of(reply: &'a Reply, step: &str, mount: &str) -> Result<Self, Trouble> {
        let found = serde_json::from_slice::<Envelope<'a>>(&reply.body).ok().filter(|found| found.data.metadata.version > 0);
        match (reply.status, found) {
            (200, Some(found)) => {
                Ok(Self { version: Some(found.data.metadata.version), fields: found.data.data.unwrap_or_default() })
            }
            (404, Some(found)) => Ok(Self { version: Some(found.data.metadata.version), fields: BTreeMap::new() }),
            (404, None) if reply.errors().is_some_and(|errors| errors.is_empty()) => Ok(Self::default()),
            (404, None) => Err(Trouble::Refused(
                cutover_api::Refusal::new(Class::Gone, step)
                    .status(404)
                    .hint(format!("no KV v2 engine answers at \"{mount}\"; check `mount`, `namespace` and `address`")),
            )),
            _ => Err(reply.trouble(step)),
        }
    }

    /// One field. `Err` where it is there but is no string.
    pub(crate) fn text(&self, field: &str) -> Result<Option<Secret>, ()> {
        let Some(raw) = self.fields.get(field) else { return Ok(None) };
        serde_json::from_str::<String>(raw.get()).map(|text| Some(Secret::new(text))).map_err(|_| ())
    }

    /// The body of a write that changes this page by `change` and compares against `cas`.
    pub(crate) fn changed(&self, change: &Change<'_>, cas: u64) -> Option<Vec<u8>> {
        let kept = self.fields.iter().filter(|(name, _)| !change.remove.contains(name.as_ref()));
        let mut data: BTreeMap<&str, Field<'_>> = kept.map(|(name, raw)| (name.as_ref(), Field::Kept(raw))).collect();
        data.extend(change.set.iter().map(|(name, value)| (name.as_str(), Field::Set(value.expose()))));
        serde_json::to_vec(&Write { options: Options { cas }, data }).ok()
    }
}

/// The body of a write that no version can match.
pub(crate) fn impossible() -> Option<Vec<u8>> {
    serde_json::to_vec(&Write { options: Options { cas: NEVER }, data: BTreeMap::new() }).ok()
}

#[derive(Serialize)]
struct Write<'a> {
    options: Options,
    data: BTreeMap<&'a str, Field<'a>>,
}

#[derive(Serialize)]
struct Options {
    cas: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Set(&'a str),
    Kept(&'a RawValue),
}

/// The version that a write made.
pub(crate) fn written(reply: &Reply) -> Option<u64> {
    #[derive(Deserialize)]
    struct Written {
        data: Version,
    }
    serde_json::from_slice::<Written>(&reply.body).ok().map(|written| written.data.version)
}

/// Whether the reply to [`Raw::mount`] names a KV engine of version 2.
pub(crate) fn is_v2(reply: &Reply) -> bool {
    #[derive(Deserialize)]
    struct Mount {
        data: Engine,
    }
    #[derive(Deserialize)]
    struct Engine {
        options: Option<BTreeMap<String, String>>,
        r#type: String,
    }
    serde_json::from_slice::<Mount>(&reply.body).is_ok_and(|mount| {
        let version = mount.data.options.as_ref().and_then(|options| options.get("version"));
        mount.data.r#type == "kv" && version.is_some_and(|version| version == "2")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cutover_api::{Change, Secret};
    use serde_json::value::RawValue;

    use super::Page;

    #[test]
    fn foreign_values_are_written_back_to_the_letter() {
        let text = r#"{"big":123456789012345678901234567890,"exp":1.10e+400,"nested":{"b":1,"a":[null,true]},"key":"old","esc":"é\/"}"#;
        let fields: BTreeMap<_, &RawValue> = serde_json::from_str(text).expect("JSON");
        let page = Page { version: Some(3), fields };
        let secret = Secret::new("a \"quoted\"\nline".to_owned());
        let change = Change {
            set: BTreeMap::from([("key".to_owned(), &secret)]),
            remove: BTreeSet::from(["nested".to_owned()]),
            expected: Some("3".to_owned()),
            rotation: String::new(),
        };
        let body = String::from_utf8(page.changed(&change, 3).expect("JSON")).expect("UTF-8");
        assert_eq!(
            body,
            r#"{"options":{"cas":3},"data":{"big":123456789012345678901234567890,"esc":"é\/","exp":1.10e+400,"key":"a \"quoted\"\nline"}}"#
        );
    }
}
