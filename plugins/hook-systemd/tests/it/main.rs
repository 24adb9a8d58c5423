//! The systemd hook against a bus whose systemd does as it is told.

#[cfg(test)]
mod bus;
#[cfg(test)]
mod hook;
#[cfg(test)]
mod table;
