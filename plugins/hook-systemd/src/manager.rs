//! systemd's manager, at the other end of the system bus.

use std::collections::HashMap;

use futures_util::StreamExt;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, connection};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::unit::{Standing, Verb};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// A line to systemd's manager. It ends when it is dropped; jobs that were asked for go on.
pub(crate) struct Manager {
    line: Connection,
    /// The name of the very connection that is systemd: others may not speak for it.
    owner: String,
}

/// A unit as it was when it was looked up.
pub(crate) struct Unit {
    path: OwnedObjectPath,
    pub(crate) standing: Standing,
}

/// A job that was asked for, and the line on which its end will be told.
pub(crate) struct Job {
    path: OwnedObjectPath,
    ends: MessageStream,
}

impl Manager {
    /// Opens the line: to the system bus, or to a bus at `address`.
    pub(crate) async fn open(address: Option<&str>) -> zbus::Result<Self> {
        let builder = match address {
            Some(address) => connection::Builder::address(address),
            None => connection::Builder::system(),
        };
        let line = builder.build().await?;
        let bus = "org.freedesktop.DBus";
        let owner = line.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "GetNameOwner", &NAME).await?;
        Ok(Self { owner: owner.body().deserialize()?, line })
    }

    /// Looks a unit up, loading it where it is not.
    pub(crate) async fn unit(&self, name: &str) -> zbus::Result<Unit> {
        let path: OwnedObjectPath = self.manage("LoadUnit", &name).await?.body().deserialize()?;
        let standing = self.standing(&path, name).await?;
        Ok(Unit { path, standing })
    }

    /// How a unit stands now.
    pub(crate) async fn look(&self, unit: &Unit) -> zbus::Result<Standing> {
        self.standing(&unit.path, &unit.standing.id).await
    }

    async fn standing(&self, path: &OwnedObjectPath, name: &str) -> zbus::Result<Standing> {
        let unit = self.properties(path, UNIT).await?;
        let service = if name.ends_with(".service") { self.properties(path, SERVICE).await? } else { HashMap::new() };
        Ok(Standing::read(&unit, &service))
    }

    async fn properties(&self, path: &OwnedObjectPath, interface: &str) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let all = "org.freedesktop.DBus.Properties";
        self.line.call_method(Some(self.owner.as_str()), path, Some(all), "GetAll", &interface).await?.body().deserialize()
    }

    /// Asks whether this user may do the verb, and starts nothing: a job mode that systemd takes for no verb but `start` is refused as
    /// such only after the permission was looked at. `Ok` = it was not denied.
    pub(crate) async fn may(&self, verb: Verb, unit: &Unit) -> zbus::Result<Message> {
        self.manage(verb.method(), &(unit.standing.id.as_str(), "isolate")).await
    }

    /// Has systemd tell of the jobs of a unit from now on. Nothing has been asked for yet.
    pub(crate) async fn listen(&self, unit: &Unit) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(self.owner.as_str())
            .path(PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .arg(2, unit.standing.id.as_str())
            .build()?;
        let ends = MessageStream::for_match_rule(rule, &self.line, None).await?;
        self.manage("Subscribe", &()).await?;
        Ok(ends)
    }

    /// Asks for the job. An error that is no answer leaves open whether it was queued.
    pub(crate) async fn ask(&self, verb: Verb, unit: &Unit, ends: MessageStream) -> zbus::Result<Job> {
        let reply = self.manage(verb.method(), &(unit.standing.id.as_str(), "replace")).await?;
        Ok(Job { path: reply.body().deserialize()?, ends })
    }

    async fn manage<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: zbus::export::serde::Serialize + zbus::DynamicType + Sync,
    {
        self.line.call_method(Some(self.owner.as_str()), PATH, Some(MANAGER), method, body).await
    }
}

impl Job {
    /// Waits for its end: `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`, … `None`: the line was cut.
    pub(crate) async fn end(mut self) -> Option<String> {
        while let Some(signal) = self.ends.next().await {
            let body = signal.ok()?.body();
            let told = body.deserialize::<(u32, OwnedObjectPath, String, String)>();
            if let Ok((_, path, _, result)) = told
                && path == self.path
            {
                return Some(result);
            }
        }
        None
    }
}
