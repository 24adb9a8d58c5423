//! The ledger in one SQLite file.

mod crash;
mod damage;
mod file;
mod home;
mod memory;
