//! Users and groups, as /etc/passwd and /etc/group have them.

use std::fs;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
}

/// The user of this name.
pub fn user(name: &str) -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    user_in(name, &passwd, &group)
}

/// The user that this process runs as; one without a name goes by its number.
pub fn current() -> User {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    let name = named.and_then(|line| line.split(':').next());
    name.and_then(user).unwrap_or_else(|| {
        let gid = rustix::process::getegid().as_raw();
        User {
            name: uid.to_string(),
            uid,
            gid,
            groups: vec![gid],
        }
    })
}

/// The name of a group.
pub fn group_name(gid: u32) -> Option<String> {
    let group = fs::read_to_string("/etc/group").ok()?;
    let found = group
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&gid.to_string()));
    found?.split(':').next().map(str::to_owned)
}

fn user_in(name: &str, passwd: &str, group: &str) -> Option<User> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    let others = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_member = fields.get(3)?.split(',').any(|member| member == name);
        let id = fields.get(2)?.parse().ok()?;
        (is_member && id != gid).then_some(id)
    });
    Some(User {
        name: name.to_owned(),
        uid,
        gid,
        groups: std::iter::once(gid).chain(others).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_its_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nhotgate:x:990:991::/:/bin/false\n";
        let group = "root:x:0:\nadm:x:4:syslog,hotgate\nhotgate:x:991:\nwww-data:x:33:hotgate2\n";
        let found = user_in("hotgate", passwd, group).expect("it is there");
        assert_eq!(
            (found.uid, found.gid, found.groups),
            (990, 991, vec![991, 4])
        );
        assert_eq!(user_in("nobody", passwd, group), None);
    }
}
