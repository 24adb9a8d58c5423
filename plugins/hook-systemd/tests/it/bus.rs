//! A bus with nobody on it but a systemd that does as it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use zbus::message::{Header, Type};
use zbus::{Connection, Guid, Message, MessageStream, ObjectPath, OwnedVariant, Variant, connection};

/// Who systemd is on this bus, and who else there is.
const OWNER: &str = ":1.1";
const STRANGER: &str = ":1.7";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// What systemd does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Its job ends so; with `done` the unit is started anew or reloaded.
    Ends(&'static str),
    /// The call is answered with this error.
    Error(&'static str),
    /// The line is cut when the call has come.
    CutAtCall,
    /// The line is cut when the job was queued.
    CutAtJob,
    /// The call is never answered.
    NoAnswer,
    /// The job never ends.
    NoEnd,
    /// Somebody else says that the job is done; systemd says that it failed.
    Lied,
}

/// One unit.
#[derive(Clone, Debug)]
pub struct Unit {
    pub load: &'static str,
    pub active: &'static str,
    /// What it becomes when its job is done, and at each look after that.
    pub becomes: Vec<(&'static str, &'static str)>,
    pub invocation: u8,
    /// A job that is done starts it anew.
    pub renews: bool,
    pub can_reload: bool,
    pub kind: &'static str,
    pub result: &'static str,
    /// Its job was done.
    pub ran: bool,
    pub does: Does,
}

impl Unit {
    /// A service that runs and does what it is told.
    pub fn running() -> Self {
        Self {
            load: "loaded",
            active: "active",
            becomes: vec![("active", "success")],
            invocation: 1,
            renews: true,
            can_reload: true,
            kind: "simple",
            result: "success",
            ran: false,
            does: Does::Ends("done"),
        }
    }
}

impl Unit {
    /// It becomes what it is to become next; the last of it it stays.
    fn next(&mut self) {
        if !self.becomes.is_empty() {
            (self.active, self.result) = self.becomes.remove(0);
        }
    }
}

#[derive(Default)]
struct World {
    units: BTreeMap<String, Unit>,
    denied: bool,
    absent: bool,
    jobs: u32,
    /// `RestartUnit crm.service replace`: every call of the manager that could start something.
    heard: Vec<String>,
}

/// The bus.
pub struct Bus {
    world: Arc<Mutex<World>>,
    dir: TempDir,
}

impl Bus {
    /// A bus with these units.
    pub fn with(units: &[(&str, Unit)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("bus")).expect("a free path");
        let world = World { units: units.iter().map(|(n, u)| ((*n).to_owned(), u.clone())).collect(), ..World::default() };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { world, dir }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic holds it")
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }

    /// polkit says no.
    pub fn deny(&self) {
        self.world().denied = true;
    }

    /// systemd is not on the bus.
    pub fn leave(&self) {
        self.world().absent = true;
    }

    /// Every call that could start something, but those that only ask for the permission.
    pub fn heard(&self) -> Vec<String> {
        self.world().heard.iter().filter(|call| !call.ends_with(" isolate")).cloned().collect()
    }

    /// How many jobs were queued.
    pub fn jobs(&self) -> u32 {
        self.world().jobs
    }

    pub fn change(&self, unit: &str, change: impl FnOnce(&mut Unit)) {
        change(self.world().units.get_mut(unit).expect("known"));
    }
}

async fn serve(stream: UnixStream, world: Arc<Mutex<World>>) {
    let stream = stream.into_std().expect("a socket");
    let guid = Guid::generate();
    let built = connection::Builder::unix_stream(stream).server(guid).p2p().build_message_stream().await;
    let Ok(mut calls) = built else { return };
    let line = Connection::from(&calls);
    while let Some(Ok(call)) = calls.next().await {
        if call.message_type() == Type::MethodCall && !answer(&line, &call, &world).await {
            return;
        }
    }
    drop::<MessageStream>(calls);
}

/// Answers one call; false: the line is to be cut.
async fn answer(line: &Connection, call: &Message, world: &Mutex<World>) -> bool {
    let header = call.header();
    let member = header.member().expect("a call has one").as_str().to_owned();
    let lock = || world.lock().expect("no panic holds it");
    match member.as_str() {
        "Hello" => reply(line, &header, &":1.42").await,
        "AddMatch" | "RemoveMatch" | "Subscribe" => reply(line, &header, &()).await,
        "GetNameOwner" if lock().absent => error(line, &header, "org.freedesktop.DBus.Error.NameHasNoOwner").await,
        "GetNameOwner" => reply(line, &header, &OWNER).await,
        "LoadUnit" => {
            let name: String = call.body().deserialize().expect("a name");
            reply(line, &header, &ObjectPath::try_from(path(&name)).expect("a path")).await;
        }
        "GetAll" => {
            let interface: String = call.body().deserialize().expect("an interface");
            let properties = properties(&mut lock(), header.path().expect("a path").as_str(), &interface);
            reply(line, &header, &properties).await;
        }
        _ => return job(line, &header, &member, call.body().deserialize().expect("name and mode"), world).await,
    }
    true
}

fn path(unit: &str) -> String {
    format!("{PATH}/unit/{}", unit.bytes().map(|b| format!("_{b:02x}")).collect::<String>())
}

fn properties(world: &mut World, at: &str, interface: &str) -> HashMap<&'static str, OwnedVariant> {
    let found = world.units.iter_mut().find(|(name, _)| path(name) == at);
    let Some((name, unit)) = found else { return missing() };
    let seen = unit.clone();
    // The last thing that is asked for in one look at a service.
    if unit.ran && interface.ends_with(".Service") {
        unit.next();
    }
    let text = |text: &str| own(Variant::from(text));
    HashMap::from([
        ("Id", text(name)),
        ("LoadState", text(seen.load)),
        ("ActiveState", text(seen.active)),
        ("InvocationID", own(Variant::from(vec![seen.invocation; 16]))),
        ("CanStart", own(Variant::from(true))),
        ("CanReload", own(Variant::from(seen.can_reload))),
        ("Type", text(seen.kind)),
        ("Result", text(seen.result)),
    ])
}

fn missing() -> HashMap<&'static str, OwnedVariant> {
    HashMap::from([("Id", own(Variant::from("absent.service"))), ("LoadState", own(Variant::from("not-found")))])
}

fn own(value: Variant<'_>) -> OwnedVariant {
    OwnedVariant::try_from(value).expect("no descriptor")
}

/// A call that could start something.
async fn job(line: &Connection, call: &Header<'_>, member: &str, (name, mode): (String, String), world: &Mutex<World>) -> bool {
    let (does, id) = {
        let mut world = world.lock().expect("no panic holds it");
        world.heard.push(format!("{member} {name} {mode}"));
        let denied = world.denied;
        let unit = world.units.get_mut(&name).expect("loaded before");
        let does = match (denied, mode.as_str()) {
            (true, _) => Does::Error("org.freedesktop.DBus.Error.AccessDenied"),
            (false, "isolate") => Does::Error("org.freedesktop.DBus.Error.InvalidArgs"),
            _ => unit.does,
        };
        if does == Does::Ends("done") {
            unit.invocation += u8::from(unit.renews);
            unit.ran = true;
            unit.next();
        }
        world.jobs += u32::from(!matches!(does, Does::Error(_)));
        (does, world.jobs)
    };
    let job = ObjectPath::try_from(format!("{PATH}/job/{id}")).expect("a path");
    match does {
        Does::Error(name) => error(line, call, name).await,
        Does::CutAtCall => return false,
        Does::NoAnswer => {}
        _ => reply(line, call, &job).await,
    }
    match does {
        Does::CutAtJob => return false,
        Does::Ends(result) => removed(line, OWNER, id, &job, &name, result).await,
        Does::Lied => {
            removed(line, STRANGER, id, &job, &name, "done").await;
            let other = ObjectPath::try_from(format!("{PATH}/job/999")).expect("a path");
            removed(line, OWNER, 999, &other, &name, "done").await;
            removed(line, OWNER, id, &job, &name, "failed").await;
        }
        _ => {}
    }
    true
}

async fn removed(line: &Connection, sender: &str, id: u32, job: &ObjectPath<'_>, unit: &str, result: &str) {
    let signal = Message::signal(PATH, MANAGER, "JobRemoved").sender(sender);
    send(line, signal.build(&(id, job, unit, result))).await;
}

async fn reply<B: zbus::export::serde::Serialize + zbus::DynamicType>(line: &Connection, call: &Header<'_>, body: &B) {
    send(line, Message::method_return(call).sender(OWNER).build(body)).await;
}

async fn error(line: &Connection, call: &Header<'_>, name: &str) {
    send(line, Message::error(call, name).sender(OWNER).build(&("canary: text of the other side",))).await;
}

/// A client that has gone away is no fault of the bus.
async fn send(line: &Connection, message: zbus::Result<Message>) {
    let _gone = line.send(&message.expect("well formed")).await;
}
