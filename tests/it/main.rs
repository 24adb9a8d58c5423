//! The engine and the binary against the doubles and real servers. One binary; a module a theme.

mod binary;
mod house;
mod lost;
mod must_not;
mod seeds;
mod servers;

pub use house::House;
