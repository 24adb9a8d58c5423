//! The SMTP notifier against a real mail server and against servers that misbehave.

#[cfg(test)]
mod common;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod misbehaving;
#[cfg(test)]
mod real;
