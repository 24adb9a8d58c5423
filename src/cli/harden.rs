//! What the process forbids itself before it opens a secret.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump, and no other process of the same user that reads this one's memory. Every file of cutover's own names its mode when
/// it is made; the umask stays as it was given, because a redeploy hook inherits it and deploys with it.
pub fn harden() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        super::screen::tell(&format!("cutover: the process stays dumpable ({error})"));
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        super::screen::tell(&format!("cutover: core dumps stay allowed ({error})"));
    }
}
