//! Scripted doubles of everything cutover talks to, for `cutover demo`, the tests and the simulation.
//!
//! * [`Bondi`], [`Plana`] and [`Wrapd`] are providers over HTTP on 127.0.0.1, the three systems cutover was made for.
//! * [`FakeProvider`], [`FakeStore`], [`FakeHook`], [`FakeWitness`] and [`FakeNotifier`] are plugins in process.
//! * [`Consumer`] is an application that never stops calling and counts what it is refused.
//! * [`FakeClock`] is the time. Nothing in here reads the real clock: whoever wants real time hands in a clock that does.
//!
//! Everything that can go wrong is said beforehand as a [`Fault`]: which of the next calls, and [`How`]. Keys are drawn from a counter, so
//! they are predictable on purpose and guard nothing.
//!
//! # What is told by the documentation of the three, and what is assumed
//!
//! **Bondi.** Told: the path of rotate-token and its reply; the new token is shown once; the previous token lives exactly 24 hours and no
//! other grace is on offer; outbound calls are signed with the new token at once, inbound ones are accepted with either; rotating again
//! gives another 24 hours; the integration stays the same row; each environment has its own; support can wipe the previous token; headers,
//! message and five-minute window of the signature, and its three reasons. Assumed: there is one previous token, so rotating again ends the
//! one before it at once; status 200; an expired token is `invalid_signature`; the body of replies to emit and sync; the ids `def_…`, `tok_…`.
//!
//! **PLANA.** Told: the path of issue; `pa_live_` and 32 bytes in base32; the 12-character prefix; the scopes and their default; last used =
//! last successful call, or never; optional expiry; wrong scope 403, revoked 401; a revocation works within seconds and cannot be undone;
//! only a hash is kept; the execution log shows the prefix of each call; keys cannot manage keys. Assumed: field names; list and revoke under
//! the path of issue; the dashboard's path; revoked keys stay in the list; revoking again is 204; names may repeat; a management call signed
//! with a key is 401; the log has no line for a key that is nobody's; SHA-256 where they use bcrypt.
//!
//! **Wrapd.** Told: `POST /api-keys` and the header `X-API-Key`; the prefixes `wrapd_sk_` and `wrapd_at_`; the seven graces; a new key has the
//! old one's label and scopes, a new token its agent and label; the old one gets `expires_at` or is revoked at once; both work within the
//! grace and only the new one after it; shown once; revoke is immediate and final; the badge says whether an agent is online. Assumed: the
//! paths and fields of rotate, list and revoke; `GET /me`; `GET /agents/connect` in the place of the WebSocket; dead keys leave the list;
//! rotating an old key again within its grace makes a further key and never lengthens the old one's life; an ended key cannot be rotated
//! (409); any other grace is a 400; an agent is online for a minute after a connection.
//!
//! Assumed of all three: management calls take a bearer credential shaped like a JWT that ends at its `exp` (401 after it); errors are
//! `{"error": code}`; every reply carries a `Date` of the double's clock.

mod bondi;
mod book;
mod clock;
mod consumer;
mod controls;
mod desk;
mod dice;
mod fault;
mod hook;
mod house;
mod notifier;
mod plana;
mod provider;
mod signature;
mod store;
mod wire;
mod wrapd;

pub use bondi::{BONDI_TOKEN_WARNING, Bondi};
pub use book::KeyView;
pub use clock::FakeClock;
pub use consumer::{Calling, Consumer, Keys, Restarter, Tally, keys_in_file, keys_in_store};
pub use desk::{Counts, Logged};
pub use fault::{CallKind, Fault, Gate, How, Kind};
pub use hook::{FakeHook, FakeWitness, HookCall, HookHow};
pub use house::{FAKE_SLOTS, Violation};
pub use notifier::{FakeNotifier, NotifyCall, NotifyHow};
pub use plana::{Execution, Plana};
pub use provider::{FakeProvider, generous_facts};
pub use signature::{NotSigned, Signed};
pub use store::{FakeStore, StoreCall, StoreHow};
pub use wrapd::{WRAPD_GRACES, Wrapd};
