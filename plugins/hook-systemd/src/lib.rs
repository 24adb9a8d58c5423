//! The hook that has systemd restart or reload units, over D-Bus.
//!
//! It asks the system's manager for one job a unit, in the order of `units`, each only when the one before is done. A unit is done when
//! its job has ended as `done`, the unit is active (with a new invocation, where it was to be restarted), and it has stayed so for
//! `settle`. It gives systemd the names of units and nothing else: no value of a key, no text of a provider.
//!
//! The daemon needs no privilege of its own for this: systemd asks polkit, whose rule names the units (`systemd/cutover.rules`).

mod fault;
mod hook;
mod manager;
mod settings;
mod unit;

pub use hook::SystemdHook;
