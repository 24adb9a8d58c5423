//! What is said of a file that could not be read: one home for the words.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Why a file could not be read, and the way out of it, as one sentence without a full stop: `there is no file /x: …`. `what` is
/// what makes one, or where it comes from.
#[must_use]
pub fn unread(path: &Path, error: &Error, what: &str) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => format!("there is no file {shown}: {what}"),
        ErrorKind::PermissionDenied => {
            format!(
                "{shown} may not be read by the user who runs this: `chown` it to that user, or look at the directories above it"
            )
        }
        ErrorKind::IsADirectory => format!("{shown} is a directory: name the file in it"),
        ErrorKind::NotADirectory => format!("{shown} cannot be there: what stands above it is no directory"),
        ErrorKind::InvalidData => format!("{shown} is not text: it must be UTF-8"),
        kind => format!("{shown} cannot be read ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::Path;

    use super::unread;

    /// It was "cannot be read (entity not found)", which nobody can do anything with.
    #[test]
    fn a_file_that_is_not_there_is_said_to_be_not_there() {
        let told = |kind: ErrorKind| unread(Path::new("/etc/x/key"), &kind.into(), "`cutover keygen` makes one");
        assert_eq!(told(ErrorKind::NotFound), "there is no file /etc/x/key: `cutover keygen` makes one");
        assert!(told(ErrorKind::PermissionDenied).starts_with("/etc/x/key may not be read"));
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            assert!(!told(kind).contains(&kind.to_string()), "{kind}: {}", told(kind));
        }
    }
}
