//! What the process forbids itself before it opens a secret.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// No core dump, no other process of the same user that reads this one's memory, and files that only their owner opens.
pub fn harden() {
    umask(Mode::RWXG | Mode::RWXO);
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        super::screen::tell(&format!("cutover: the process stays dumpable ({error})"));
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        super::screen::tell(&format!("cutover: core dumps stay allowed ({error})"));
    }
}
