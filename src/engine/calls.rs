//! What a call to the provider is told for one rotation.

use cutover_api::{Call, Secret};
use cutover_machine::plan::Authority;

use super::snapshot::{Record, Snapshot};

/// The parts of a [`Call`] for one rotation.
pub struct AccountCall<'a> {
    snapshot: &'a Snapshot,
    record: &'a Record,
    signer: Option<&'a Secret>,
}

impl<'a> AccountCall<'a> {
    /// For a rotation. Authority `self`: signed with the old key until the mint is done, with the new one from then on.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, record: &'a Record, signer: Option<&'a Secret>) -> Self {
        let own = snapshot.plan.provider.declares.authority == Authority::Own;
        Self { snapshot, record, signer: signer.filter(|_| own) }
    }

    /// The call.
    #[must_use]
    pub const fn call(&self) -> Call<'_> {
        Call { params: &self.snapshot.params, intent: self.record.intent.as_ref(), signer: self.signer }
    }
}
