//! The controls that every HTTP double has, written once.

/// The controls that every HTTP double has.
macro_rules! controls {
    ($double:ty) => {
        impl $double {
            /// Where it listens: `http://127.0.0.1:PORT`.
            #[must_use]
            pub fn base_url(&self) -> String {
                self.double.base_url()
            }

            /// A fresh session credential for the management calls, shaped like a JWT, good for seven days of the clock.
            #[must_use]
            pub fn session(&self) -> cutover_api::Secret {
                self.double.session()
            }

            /// A session credential good until this point; its `exp` says so in whole seconds.
            #[must_use]
            pub fn session_until(&self, until: cutover_api::Stamp) -> cutover_api::Secret {
                self.double.session_until(until)
            }

            /// Ends every session credential made so far.
            pub fn expire_sessions(&self) {
                self.double.expire_sessions();
            }

            /// Adds a fault to the script.
            pub fn fail(&self, fault: $crate::Fault) {
                self.double.fail(fault);
            }

            /// Lets the next such call hang and answers with the gate that ends it.
            #[must_use]
            pub fn hang(&self, on: $crate::CallKind, applied: bool) -> $crate::Gate {
                self.double.hang(on, applied)
            }

            /// Empties the script.
            pub fn mend(&self) {
                self.double.mend();
            }

            /// Whether a call made with this key now would be accepted. Counts nothing and leaves last use alone. Of a key under an
            /// alternating delay it says no until the delay has passed.
            #[must_use]
            pub fn accepts(&self, key: &cutover_api::Secret) -> bool {
                let now = self.double.desk.clock.now();
                $crate::desk::Model::book(&self.double.desk.lock().model).accepts(key.expose(), now)
            }

            /// Every key there ever was, the eldest first.
            #[must_use]
            pub fn keys(&self) -> Vec<$crate::KeyView> {
                let now = self.double.desk.clock.now();
                $crate::desk::Model::book(&self.double.desk.lock().model).views(now)
            }

            /// All counters.
            #[must_use]
            pub fn counts(&self) -> $crate::Counts {
                self.double.counts()
            }

            /// How often a new key was asked for.
            #[must_use]
            pub fn mints(&self) -> u64 {
                self.counts().mints
            }

            /// How often the list was asked for.
            #[must_use]
            pub fn lists(&self) -> u64 {
                self.counts().lists
            }

            /// How often a key's end was asked for.
            #[must_use]
            pub fn revokes(&self) -> u64 {
                self.counts().revokes
            }

            /// How many calls were made with a key.
            #[must_use]
            pub fn probes(&self) -> u64 {
                self.counts().probes
            }

            /// How many calls were made with a key that is known but dead or not yet accepted.
            #[must_use]
            pub fn refused(&self) -> u64 {
                self.counts().refused_dead
            }

            /// Every request, the eldest first; the last 65 536 of them.
            #[must_use]
            pub fn log(&self) -> Vec<$crate::Logged> {
                self.double.log()
            }
        }
    };
}
pub(crate) use controls;
