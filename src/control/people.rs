//! Who is at the other end of the socket: user and group names from the system's files.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid};

/// The group whose members may act.
pub const GROUP: &str = "cutover";

/// A file with more lines than this is not read to its end.
const MOST_LINES: usize = 100_000;

/// The user and group files.
#[derive(Clone, Debug)]
pub struct People {
    passwd: String,
    group: String,
}

impl People {
    /// Reads `/etc/passwd` and `/etc/group`. A file that cannot be read knows nobody.
    #[must_use]
    pub fn read() -> Self {
        Self::from_files(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    /// The same from other files.
    #[must_use]
    pub fn from_files(passwd: &Path, group: &Path) -> Self {
        let text =
            |path: &Path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        Self { passwd: text(passwd), group: text(group) }
    }

    /// The user's name, where the file knows it and it is a plain one.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<&str> {
        let mut lines = self.passwd.lines().take(MOST_LINES);
        lines.find_map(|line| {
            let mut parts = line.split(':');
            let (name, _, number) = (parts.next()?, parts.next()?, parts.next()?);
            (number.parse() == Ok(uid) && is_plain(name)).then_some(name)
        })
    }

    /// A group's number.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups().find(|(known, ..)| *known == name).map(|(_, number, _)| number)
    }

    /// Whether the group's line names the user.
    #[must_use]
    pub fn is_member(&self, uid: u32, gid: u32) -> bool {
        let Some(user) = self.user(uid) else { return false };
        self.groups().any(|(_, number, members)| number == gid && members.split(',').any(|member| member.trim() == user))
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().take(MOST_LINES).filter_map(|line| {
            let mut parts = line.split(':');
            let (name, _, number, members) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            Some((name, number.parse().ok()?, members))
        })
    }

    /// As it stands in the history: `uid:1000(dana)`, or `uid:1000` where the name is not known.
    #[must_use]
    pub fn actor(&self, uid: u32) -> String {
        self.user(uid).map_or_else(|| format!("uid:{uid}"), |name| format!("uid:{uid}({name})"))
    }
}

/// A name that can stand in a log line.
fn is_plain(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte))
}

/// A peer as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its process, where the kernel tells.
    pub pid: Option<i32>,
}

/// Who may act: root, the daemon's own user, and the members of the socket's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The daemon's own user.
    pub own: u32,
    /// The socket's group, where it has one of its own.
    pub group: Option<u32>,
}

impl Access {
    /// This process's own user, and no group.
    #[must_use]
    pub fn own() -> Self {
        Self { own: rustix::process::geteuid().as_raw(), group: None }
    }

    /// Root or the daemon's own user.
    #[must_use]
    pub const fn is_own(&self, peer: Peer) -> bool {
        peer.uid == 0 || peer.uid == self.own
    }

    /// Whether the peer may act. `supplementary`: the groups of its process, asked for only where nothing else answers.
    #[must_use]
    pub fn allows(&self, peer: Peer, people: &People, supplementary: impl FnOnce() -> Vec<u32>) -> bool {
        if self.is_own(peer) {
            return true;
        }
        let Some(group) = self.group else { return false };
        peer.gid == group || people.is_member(peer.uid, group) || supplementary().contains(&group)
    }
}

/// The supplementary groups of a process: members that only a directory service knows are not in `/etc/group`.
#[must_use]
pub fn supplementary(pid: Option<i32>) -> Vec<u32> {
    let Some(pid) = pid else { return Vec::new() };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    groups.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Gives `path` to the group, keeping its owner. A file that has the group already is left alone: the service is not allowed the call.
///
/// # Errors
/// The system refused it.
pub fn give_to_group(path: &Path, group: u32) -> std::io::Result<()> {
    if std::fs::symlink_metadata(path)?.gid() == group {
        return Ok(());
    }
    rustix::fs::chown(path, None::<Uid>, Some(Gid::from_raw(group))).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::{Access, Peer, People};

    fn people() -> People {
        People {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken line\ndana:x:1000:1000:Dana,,,:/var/lib/dana:/bin/bash\n\
                     bad name\u{1b}[31m:x:1001:1001::/:/bin/sh\nkim:x:1002:1002::/:/bin/sh\n"
                .into(),
            group: "root:x:0:\ncutover:x:990:kim, lee\nempty:x:991:\n".into(),
        }
    }

    #[test]
    fn names_are_looked_up_and_strange_ones_left_out() {
        let people = people();
        assert_eq!(people.actor(1000), "uid:1000(dana)");
        assert_eq!(people.actor(0), "uid:0(root)");
        assert_eq!(people.actor(1001), "uid:1001");
        assert_eq!(people.actor(4242), "uid:4242");
        assert_eq!(people.group("cutover"), Some(990));
        assert_eq!(people.group("nobody"), None);
    }

    #[test]
    fn files_that_are_not_there_know_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let people = People::from_files(&directory.path().join("a"), &directory.path().join("b"));
        assert_eq!(people.actor(0), "uid:0");
        assert_eq!(people.group("cutover"), None);
    }

    #[test]
    fn only_root_the_own_user_and_the_group_may_act() {
        let people = people();
        let access = Access { own: 200, group: Some(990) };
        let peer = |uid, gid| Peer { uid, gid, pid: None };
        let none = Vec::new;
        assert!(access.allows(peer(0, 0), &people, none));
        assert!(access.allows(peer(200, 200), &people, none));
        assert!(access.allows(peer(1000, 990), &people, none), "primary group");
        assert!(access.allows(peer(1002, 1002), &people, none), "named in the group's line");
        assert!(access.allows(peer(5000, 5000), &people, || vec![7, 990]), "known to a directory service only");
        assert!(!access.allows(peer(1000, 1000), &people, none));
        assert!(!access.allows(peer(1000, 1000), &people, || vec![1000]));
        let alone = Access { own: 200, group: None };
        assert!(!alone.allows(peer(1002, 1002), &people, || vec![990]));
    }
}
