//! The stores with their targets, and how applications read them.

use cutover_machine::time::Span;

use super::{App, FOREIGN, Happening, Value, World};
use crate::kind::{Beside, Reads};

/// What stands in a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The field that every application reads.
    pub key: Option<Value>,
    /// The new key, where the old one keeps its place.
    pub new: Option<Value>,
    /// The old key, where the new one has taken its place.
    pub previous: Option<Value>,
}

impl Content {
    /// Everything that stands there.
    pub fn values(self) -> impl Iterator<Item = Value> {
        [self.key, self.new, self.previous].into_iter().flatten()
    }

    /// Every field with what stands in it.
    #[must_use]
    pub const fn fields(self) -> [Option<Value>; 3] {
        [self.key, self.new, self.previous]
    }
}

/// One target.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// What stands there.
    pub content: Content,
    /// Its version: one more with every write.
    pub version: u32,
    /// What stood there before, oldest first.
    pub before: Vec<Content>,
    /// The next read shows the version before.
    pub stale: bool,
    /// The next write meets somebody else's.
    pub conflict: bool,
}

impl Target {
    /// A target that holds this.
    #[must_use]
    pub fn holding(content: Content) -> Self {
        Self { content, ..Self::default() }
    }

    fn put(&mut self, content: Content) {
        self.before.push(self.content);
        self.content = content;
        self.version += 1;
    }
}

impl World {
    /// What a read of a target shows, with its version; `None`: the store does not answer.
    pub fn read(&mut self, target: usize) -> Option<(Content, u32)> {
        if self.down.stores[target] > self.now {
            return None;
        }
        let place = &mut self.targets[target];
        if std::mem::take(&mut place.stale)
            && let Some(before) = place.before.last()
        {
            return Some((*before, place.version.saturating_sub(1)));
        }
        Some((place.content, place.version))
    }

    /// A write arrives: compared with what was read, then set.
    pub(super) fn write(&mut self, target: usize, before: u32, content: Content) {
        let place = &mut self.targets[target];
        if place.version != before || place.content == content {
            return;
        }
        place.put(content);
        self.happened.push(Happening::Written { target });
    }

    /// Somebody else writes.
    pub fn meddle(&mut self, target: usize, content: Content) {
        self.targets[target].put(content);
    }

    /// Somebody writes a value of their own into a target.
    pub fn write_foreign(&mut self, target: usize) {
        let value = FOREIGN + self.targets[target].before.len();
        self.meddle(target, Content { key: Some(value), ..Content::default() });
    }

    /// What an application runs with when it reads its target now.
    #[must_use]
    pub fn read_by(&self, app: &App) -> Vec<Value> {
        let content = self.targets[app.kind.target].content;
        let fields = match (app.kind.falls_back, self.truth.beside) {
            (false, _) => [content.key, None],
            (true, Beside::NewBeside) => [content.new, content.key],
            (true, _) => [content.key, content.previous],
        };
        fields.into_iter().flatten().collect()
    }

    /// An application reads its target anew.
    pub(super) fn reload(&mut self, app: usize) {
        self.apps[app].holds = self.read_by(&self.apps[app]);
        self.apps[app].reload_at = None;
    }

    /// A hook restarts the applications.
    pub(super) fn deploy(&mut self) {
        let now = self.now;
        for app in 0..self.apps.len() {
            match self.apps[app].kind.reads {
                Reads::AtDeploy | Reads::AtUse => self.reload(app),
                Reads::Late(late) | Reads::Forgotten(late) => {
                    let at = now.plus(late.max(Span::SECOND));
                    let sooner = self.apps[app].reload_at.map_or(at, |before| before.min(at));
                    self.apps[app].reload_at = Some(sooner);
                }
            }
        }
        self.happened.push(Happening::Deployed);
    }
}
