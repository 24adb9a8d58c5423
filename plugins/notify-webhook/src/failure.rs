//! Outcomes of a step as failures of a channel.

use cutover_api::{Cause, Class, NotifyError, Refusal};

pub(crate) fn failure(label: &'static str, detail: impl Into<String>) -> NotifyError {
    NotifyError { label, detail: detail.into(), permanent: false }
}

/// The webhook certainly did not take the alert.
pub(crate) fn refused(refusal: &Refusal) -> NotifyError {
    let (label, what, permanent) = match refusal.class {
        Class::Unsent => ("connect", "the webhook cannot be reached", false),
        Class::Auth | Class::Scope => ("auth", "the webhook does not accept the credential", false),
        Class::Throttle | Class::Limit => ("refused", "the webhook takes no more for now", false),
        Class::Gone => ("refused", "there is no such webhook (any more); check request", true),
        // A request that cannot be put together has neither status nor reply.
        Class::Refused if refusal.status.is_none() => {
            ("refused", "no request can be made of this alert; check the templates", true)
        }
        _ => ("refused", "the webhook does not take this; check its body and headers", true),
    };
    NotifyError { label, detail: told(what, refusal.status, refusal.code.as_deref(), refusal.hint.as_deref()), permanent }
}

/// Whether the webhook took the alert is not known.
pub(crate) fn unknown(cause: &Cause) -> NotifyError {
    let (label, what, permanent) = match cause.label.as_str() {
        "timeout" => ("timeout", "the webhook was not done in time; it may have taken the alert", false),
        "redirect" => ("status", "the webhook answers with a redirect, which is not followed; correct request", true),
        _ if cause.status.is_some() => ("status", "the webhook's answer is not the expected one", false),
        _ => ("connect", "the connection was lost before the answer; the webhook may have taken the alert", false),
    };
    NotifyError { label, detail: told(what, cause.status, None, cause.hint.as_deref()), permanent }
}

fn told(what: &str, status: Option<i32>, code: Option<&str>, hint: Option<&str>) -> String {
    let mut text = what.to_owned();
    if let Some(status) = status {
        text.push_str(&format!(" (status {status}"));
        if let Some(code) = code {
            text.push_str(&format!(", code {code}"));
        }
        text.push(')');
    }
    if let Some(hint) = hint {
        text.push_str(&format!(": {hint}"));
    }
    text
}
