//! The engine and the binary against the doubles and real servers. One binary; a module a theme.

mod house;
mod lost;
mod seeds;

pub use house::House;
