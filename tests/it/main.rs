//! The engine and the binary against the doubles and real servers. One binary; a module a theme.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects; its helpers do so too")]

mod binary;
mod by_hand;
mod canary;
mod cast;
mod channels;
mod emergency;
mod faults;
mod first_minutes;
mod hindered;
mod hostile;
mod house;
mod lost;
mod must_not;
mod no_room;
mod promises;
mod regressions;
mod restarts;
mod seeds;
mod servers;
mod stolen;
mod units;
mod watchdog;

use house::House;
