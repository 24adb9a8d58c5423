//! The webhook notifier against servers made here.

#[cfg(test)]
mod common;
#[cfg(test)]
mod greet;
#[cfg(test)]
mod tell;
