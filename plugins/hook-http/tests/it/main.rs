//! HTTP hooks and consumers against servers made here.

#[cfg(test)]
mod common;
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod hook;
