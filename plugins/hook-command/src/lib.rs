//! Hooks and witnesses that are a program on this machine.
//!
//! A program is started directly, never through a shell, with the words of `run` exactly as they stand in the configuration. It gets
//! a cleared environment: `PATH`, `LANG`, what `env` adds, and what it is about, in these variables and no others:
//!
//! | variable | holds | hook | witness |
//! |---|---|---|---|
//! | `CUTOVER_POLICY` | the policy's name | yes | yes |
//! | `CUTOVER_ROTATION` | the rotation's id | yes | empty outside a rotation |
//! | `CUTOVER_RUN` | a UUID that is new for each layout that is deployed: the one to remember for "done already" | yes | no |
//! | `CUTOVER_KEY_ID` | the key's id at the provider | may be empty | may be empty |
//! | `CUTOVER_FINGERPRINT` | the key's fingerprint | yes | yes |
//!
//! No secret value is ever given to it. Its standard input is empty. Its output goes nowhere: it may hold secrets the program read
//! itself, and no filter finds them all. A program that wants to be read writes its own log, for example through `systemd-cat`.
//!
//! It leads a process group of its own. When its time is over, or when nobody waits for it any more, the whole group is ended. When
//! it ends by itself, what it left running is left alone: that may be the application.

mod group;
mod hook;
mod program;
mod settings;
mod witness;

pub use hook::CommandHook;
pub use witness::CommandWitness;
