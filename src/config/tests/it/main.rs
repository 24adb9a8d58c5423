//! The configuration, loaded with the plugins that are built in.

mod base;
mod faults;
mod kinds;
mod worked;
