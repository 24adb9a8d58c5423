//! The ledger in one SQLite file.

mod copy;
mod crash;
mod damage;
mod file;
mod home;
mod mark;
mod memory;
