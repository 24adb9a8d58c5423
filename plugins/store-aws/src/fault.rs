//! What AWS answered, as an outcome. Nothing AWS wrote gets through but an error code, bounded and cleaned.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use cutover_api::{Cause, Class, Obstacle, Outcome, Refusal};

/// Why a call did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It certainly had no effect.
    Refused(Refusal),
    /// It may have had one.
    Unknown(Cause),
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl<T> From<Fault> for Outcome<T> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Self::Refused(refusal),
            Fault::Unknown(cause) => Self::Unknown(cause),
        }
    }
}

impl Fault {
    /// A refusal of our own.
    pub(crate) fn refused(class: Class, step: &str, hint: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(class, step).hint(hint))
    }

    /// From the error of one call. `action` is the name of the operation, which is also that of its permission.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, step: &str, action: &str) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => {
                Self::refused(Class::Unsent, step, format!("{action} could not be put together from this configuration"))
            }
            SdkError::TimeoutError(_) => Self::Unknown(Cause::new(step, "timeout")),
            SdkError::DispatchFailure(failure) => failure.as_connector_error().map_or_else(
                || Self::Unknown(Cause::new(step, "cut")),
                |source| Self::undelivered(source, failure.is_timeout(), step),
            ),
            SdkError::ServiceError(answer) => {
                Self::answered(answer.raw().status().as_u16().into(), answer.err().code(), step, action)
            }
            SdkError::ResponseError(answer) => {
                Self::Unknown(Cause::new(step, "unreadable").status(answer.raw().status().as_u16().into()))
            }
            _ => Self::Unknown(Cause::new(step, "cut")),
        }
    }

    /// The request did not get through, or its answer did not.
    fn undelivered(source: &(dyn Error + 'static), timeout: bool, step: &str) -> Self {
        if let Some(error) = find::<CredentialsError>(source) {
            let (class, hint) = match error {
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                    (Class::Auth, "no AWS credentials were found; give cutover a role, a profile or AWS_ACCESS_KEY_ID")
                }
                _ => (Class::Unsent, "the AWS credentials could not be loaded now; nothing was sent"),
            };
            return Self::refused(class, step, hint);
        }
        if find::<hyper_util::client::legacy::Error>(source).is_some_and(hyper_util::client::legacy::Error::is_connect) {
            let why = Obstacle::of(source).map_or_else(|| "no connection".to_owned(), |obstacle| obstacle.to_string());
            return Self::refused(Class::Unsent, step, format!("the endpoint of Secrets Manager: {why}; nothing was sent"));
        }
        Self::Unknown(Cause::new(step, if timeout { "timeout" } else { "cut" }))
    }

    /// AWS answered with an error.
    fn answered(status: i32, code: Option<&str>, step: &str, action: &str) -> Self {
        let code = code.and_then(clean);
        let (class, hint) = match (status, code.as_deref().unwrap_or_default()) {
            // The SDK calls a reply it cannot read an error of the service, whatever the status says.
            (..300, _) => return Self::Unknown(Cause::new(step, "unreadable").status(status)),
            (300..=399, _) => return Self::Unknown(Cause::new(step, "redirect").status(status)),
            (408 | 500.., _) | (_, "InternalServiceError") => {
                return Self::Unknown(Cause::new(step, "status-5xx").status(status));
            }
            (_, code) => by_code(code, status, action),
        };
        let mut refusal = Refusal::new(class, step).status(status);
        refusal.code = code;
        refusal.hint = hint;
        Self::Refused(refusal)
    }

    /// The error code AWS gave.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            Self::Unknown(_) => None,
        }
    }

    /// The same for a look that came before anything was written: whatever became of the look, nothing was changed.
    pub(crate) fn before_writing(self) -> Self {
        match self {
            Self::Unknown(cause) => {
                let mut refusal = Refusal::new(Class::Unsent, cause.step);
                refusal.status = cause.status;
                let hint = format!("the secret could not be looked at ({}); nothing was written", cause.label);
                Self::Refused(refusal.hint(hint))
            }
            refused @ Self::Refused(_) => refused,
        }
    }
}

/// The class and the advice for an error code; the status decides where the code is not known.
fn by_code(code: &str, status: i32, action: &str) -> (Class, Option<String>) {
    let (class, hint) = match code {
        "AccessDeniedException" | "AccessDenied" => (
            Class::Scope,
            format!("allow secretsmanager:{action} on this secret, and kms:Decrypt and kms:GenerateDataKey on its key"),
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" | "AuthFailure" => {
            (Class::Auth, "AWS does not know this access key; replace it".to_owned())
        }
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            (Class::Auth, "the AWS credentials have expired; renew them".to_owned())
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignature" => {
            (Class::Auth, "AWS does not accept the signature; check the secret access key and this machine's clock".to_owned())
        }
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" | "OptInRequired" => {
            (Class::Auth, "AWS does not accept these credentials in this region".to_owned())
        }
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" | "SlowDown" => {
            return (Class::Throttle, None);
        }
        "LimitExceededException" => (Class::Limit, "a quota of Secrets Manager is reached; wait, or have it raised".to_owned()),
        "ResourceExistsException" => {
            (Class::Exists, "a version with this token and another content exists; look again".to_owned())
        }
        "ResourceNotFoundException" => {
            (Class::Gone, "the secret is not there in this account and region; create it first, cutover makes none".to_owned())
        }
        "InvalidRequestException" => {
            (Class::Refused, "the secret is scheduled for deletion, a replica, or managed by another service".to_owned())
        }
        "DecryptionFailure" | "EncryptionFailure" => (
            Class::Refused,
            "KMS could not use the secret's key; check that it is enabled and that its policy allows cutover".to_owned(),
        ),
        _ => {
            return match status {
                401 => (Class::Auth, None),
                403 => (Class::Scope, None),
                404 => (Class::Gone, None),
                409 => (Class::Exists, None),
                429 => (Class::Throttle, None),
                _ => (Class::Refused, None),
            };
        }
    };
    (class, Some(hint))
}

/// An error code without anything that is none.
fn clean(code: &str) -> Option<String> {
    let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || "_.:-".contains(*c)).take(64).collect();
    (!code.is_empty()).then_some(code)
}

/// The first error of a kind among an error and what caused it.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use cutover_api::Class;

    use super::{Fault, clean};

    #[test]
    fn codes_tell_the_class() {
        let cases = [
            (400, "AccessDeniedException", Class::Scope),
            (400, "UnrecognizedClientException", Class::Auth),
            (400, "ExpiredTokenException", Class::Auth),
            (403, "SignatureDoesNotMatch", Class::Auth),
            (400, "ThrottlingException", Class::Throttle),
            (400, "LimitExceededException", Class::Limit),
            (400, "ResourceExistsException", Class::Exists),
            (404, "ResourceNotFoundException", Class::Gone),
            (400, "ResourceNotFoundException", Class::Gone),
            (400, "InvalidRequestException", Class::Refused),
            (400, "DecryptionFailure", Class::Refused),
            (400, "SomethingNew", Class::Refused),
            (403, "", Class::Scope),
            (429, "", Class::Throttle),
        ];
        for (status, code, class) in cases {
            let fault = Fault::answered(status, Some(code), "write", "PutSecretValue");
            assert!(matches!(fault, Fault::Refused(refusal) if refusal.class == class), "{status} {code}");
        }
        for (status, code) in
            [(500, "AccessDeniedException"), (503, ""), (408, ""), (302, ""), (200, ""), (400, "InternalServiceError")]
        {
            assert!(matches!(Fault::answered(status, Some(code), "write", "x"), Fault::Unknown(_)), "{status} {code}");
        }
    }

    #[test]
    fn a_code_is_short_and_clean() {
        assert_eq!(clean("Odd {\"secret\"}\n"), Some("Oddsecret".to_owned()));
        assert_eq!(clean("…"), None);
        assert_eq!(clean(&"a".repeat(500)).map(|code| code.len()), Some(64));
    }
}
