//! The values a request is rendered from.

use cutover_api::{Call, Intent, KeyRecord, KeyRef, Span, Stamp};
use cutover_http_step::{Var, Vars};

use crate::definition::Definition;
use crate::holdings::Opened;

/// Everything that is the same for every step of a call: configuration, credential, intent.
pub(crate) fn common(definition: &Definition, base_url: &str, call: Call<'_>, opened: &Opened) -> Vars {
    let mut vars = Vars::new();
    vars.set_text("base_url", base_url);
    for (name, value) in definition.params().filled(call.params) {
        vars.set(format!("params.{name}"), Var::Json(value));
    }
    for (path, secret) in opened {
        vars.set(path.clone(), Var::Secret(secret.duplicate()));
    }
    if let Some(intent) = call.intent {
        set_intent(&mut vars, definition, intent);
    }
    vars
}

fn set_intent(vars: &mut Vars, definition: &Definition, intent: &Intent) {
    vars.set_text("rotation.id", &intent.rotation_id);
    vars.set_text("rotation.uuid", &intent.uuid);
    vars.set_text("rotation.nonce", &intent.nonce);
    vars.set_text("rotation.name_suffix", intent.name_suffix());
    vars.set("rotation.year", Var::Json(intent.year.into()));
    vars.set("now", Var::Time(intent.at));
    if let Some(asked) = intent.grace {
        set_asked(vars, "grace", asked.span, asked.until);
        vars.set("grace.choice", Var::Json(definition.grace_choice(asked.span)));
    }
    if let Some(asked) = intent.lifetime {
        set_asked(vars, "lifetime", asked.span, asked.until);
    }
}

fn set_asked(vars: &mut Vars, space: &str, span: Span, until: Stamp) {
    vars.set_span(space, span);
    vars.set(format!("{space}.until"), Var::Time(until));
}

/// A key under `old` or `key`.
pub(crate) fn set_key(vars: &mut Vars, space: &str, key: KeyRef<'_>) {
    set_record(vars, space, key.record);
    if let Some(secret) = key.secret {
        vars.set(format!("{space}.secret"), Var::Secret(secret.duplicate()));
    }
    for (name, output) in key.outputs.into_iter().flatten() {
        vars.set(format!("{space}.{name}"), Var::Secret(output.duplicate()));
    }
}

fn set_record(vars: &mut Vars, space: &str, record: &KeyRecord) {
    for (name, fact) in &record.facts {
        vars.set(format!("{space}.{name}"), Var::Json(fact.clone()));
    }
    let texts = [
        ("id", &record.id),
        ("name", &record.name),
        ("prefix", &record.prefix),
        ("hint", &record.hint),
        ("slot", &record.slot),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            vars.set_text(format!("{space}.{name}"), text);
        }
    }
    let times = [("created_at", record.created_at), ("last_used_at", record.last_used_at), ("expires_at", record.expires_at)];
    for (name, at) in times {
        if let Some(at) = at {
            vars.set(format!("{space}.{name}"), Var::Time(at));
        }
    }
    vars.set(format!("{space}.revoked"), Var::Json(record.revoked.into()));
    vars.set(format!("{space}.inactive"), Var::Json(record.inactive.into()));
}

/// What a step kept, under `steps.NAME`.
pub(crate) fn set_kept(vars: &mut Vars, step: &str, kept: &[(String, Var)]) {
    for (name, value) in kept {
        vars.set(format!("steps.{step}.{name}"), value.duplicate());
    }
}
