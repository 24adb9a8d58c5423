//! The one way a plugin learns the time.

use cutover_machine::Stamp;

/// The wall clock, handed in; plugins never read one themselves.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Stamp;
}
