//! `[[policy.x.redeploy]]`: what makes the application read its target again.

use cutover_api::Span;

use crate::layers::Layers;
use crate::{HookTable, Kept, Kinds, built};

/// Reads the hooks of a policy, in order.
pub(crate) fn read(layers: &Layers<'_, '_>, kinds: &dyn Kinds) -> Vec<HookTable> {
    let [_, names, ..] = kinds.names();
    let hooks = layers.of("redeploy").tables("redeploy");
    let hook = hooks.iter().filter_map(|reader| {
        let kind = built::kind(reader, &names, "redeploy")?;
        let hook = kinds.hook(kind, reader)?;
        let timeout = Span(i64::try_from(hook.timeout().as_millis()).unwrap_or(i64::MAX));
        Some(HookTable {
            kind: kind.to_owned(),
            timeout,
            repeatable: hook.repeatable(),
            table: Kept::of(reader.table_itself()),
        })
    });
    let mut hooks: Vec<_> = hook.collect();
    hooks.shrink_to_fit();
    hooks
}
