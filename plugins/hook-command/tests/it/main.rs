//! Command hooks and witnesses against real processes.

#[cfg(test)]
mod common;
#[cfg(test)]
mod hook;
#[cfg(test)]
mod witness;
