//! Who may read a file: owner, group, mode and extended attributes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;

use crate::fault::{Fault, Result};
use crate::place::Content;

/// Attributes that the kernel makes itself from a file's content.
const MADE_BY_KERNEL: [&str; 2] = ["security.ima", "security.evm"];
/// Where Linux keeps a file's access control list.
const ACL: &str = "system.posix_acl_access";
/// The longest list and the longest value of extended attributes that Linux has.
const LONGEST: usize = 65_536;

/// Who may read a file.
pub(crate) struct Access {
    owner: Option<u32>,
    group: Option<u32>,
    mode: u32,
    /// All that the old file has; `None` leaves a new file what it gets from its directory.
    attributes: Option<Vec<(String, Vec<u8>)>>,
}

/// The permission bits in a text such as `0640`: read and write, nothing for others.
pub(crate) fn mode(text: &str) -> Option<u32> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal)?;
    (bits & !0o660 == 0 && bits & 0o400 != 0).then_some(bits)
}

/// The number of an owner or group: as it stands, or looked up in the lines of `/etc/passwd` or `/etc/group`.
fn number(text: &str, table: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let mut rows = table.lines().map(|line| line.split(':'));
    rows.find_map(|mut row| if row.next() == Some(text) { row.nth(1)?.parse().ok() } else { None })
}

impl Access {
    /// As the old file has it.
    pub(crate) fn of(old: &Content, step: &str) -> Result<Self> {
        let failed = |errno| Fault::before(step, "read the target's access rights", errno);
        let mut attributes = Vec::new();
        for name in names(&old.file).map_err(failed)? {
            let mut value = vec![0; LONGEST];
            let long = rustix::fs::fgetxattr(&old.file, name.as_str(), &mut value[..]).map_err(failed)?;
            value.truncate(long);
            attributes.push((name, value));
        }
        Ok(Self {
            owner: Some(old.stat.st_uid),
            group: Some(old.stat.st_gid),
            mode: old.stat.st_mode & 0o777,
            attributes: Some(attributes),
        })
    }

    /// As the target's options say for a file that is not there yet.
    pub(crate) fn asked(options: &BTreeMap<String, String>, step: &str) -> Result<Self> {
        let find = |key: &str, file: &str| -> Result<Option<u32>> {
            let Some(text) = options.get(key) else { return Ok(None) };
            let table = std::fs::read_to_string(file).unwrap_or_default();
            let found = number(text, &table);
            found
                .map(Some)
                .ok_or_else(|| Fault::refused(step, format!("{key} is not listed in {file}; name one that is, or its number")))
        };
        Ok(Self {
            owner: find("owner", "/etc/passwd")?,
            group: find("group", "/etc/group")?,
            mode: options.get("mode").and_then(|text| mode(text)).unwrap_or(0o600),
            attributes: None,
        })
    }

    /// Gives it to a new file, the owner last: afterwards the file may be no longer ours to change.
    pub(crate) fn give(&self, file: &OwnedFd) -> std::result::Result<(), Errno> {
        let now = rustix::fs::fstat(file)?;
        if let Some(group) = self.group.filter(|group| *group != now.st_gid) {
            rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?;
        }
        // An ACL that the directory gave to the new file would let in whom the old file kept out.
        let kept_out = self.attributes.as_ref().is_some_and(|all| all.iter().all(|(name, _)| name != ACL));
        if kept_out {
            match rustix::fs::fremovexattr(file, ACL) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => {}
                Err(errno) => return Err(errno),
            }
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (name, value) in self.attributes.iter().flatten() {
            let mut has = vec![0; LONGEST];
            let same = rustix::fs::fgetxattr(file, name.as_str(), &mut has[..]).is_ok_and(|long| has[..long] == value[..]);
            if !same {
                rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
            }
        }
        if let Some(owner) = self.owner.filter(|owner| *owner != now.st_uid) {
            rustix::fs::fchown(file, Some(Uid::from_raw(owner)), None)?;
        }
        Ok(())
    }
}

/// The extended attributes that are to be carried over.
fn names(file: &impl AsFd) -> std::result::Result<Vec<String>, Errno> {
    let mut list = vec![0_u8; LONGEST];
    let long = match rustix::fs::flistxattr(file, &mut list[..]) {
        Ok(long) => long,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let names = list[..long].split(|b| *b == 0).filter_map(|name| std::str::from_utf8(name).ok());
    Ok(names.filter(|name| !name.is_empty() && !MADE_BY_KERNEL.contains(name)).map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::{mode, number};

    #[test]
    fn modes_are_octal_and_closed_to_others() {
        assert_eq!(mode("0640"), Some(0o640));
        assert_eq!(mode("600"), Some(0o600));
        assert_eq!(mode("0400"), Some(0o400));
        for wrong in ["", "64", "0644", "0777", "0700", "0068", "00640", "+640", "0060", "rw-r-----"] {
            assert_eq!(mode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn owners_are_found_by_name_or_number() {
        let table = "root:x:0:0:root:/root:/bin/sh\napp:x:1007:100::/:/bin/false\nodd\n";
        assert_eq!(number("app", table), Some(1007));
        assert_eq!(number("42", table), Some(42));
        assert_eq!(number("nobody", table), None);
        assert_eq!(number("odd", table), None);
    }
}
