//! Who a container's process runs as, from the request, the image and the image's own user files.

use api_cri::v1::{LinuxContainerSecurityContext, SupplementalGroupsPolicy};
use serde::{Deserialize, Serialize};

use crate::core::failure::Failure;

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// Its id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// All its groups, the primary one first.
    pub groups: Vec<u32>,
}

/// The image's `/etc/passwd` and `/etc/group`; empty when it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// The text of `/etc/passwd`.
    pub passwd: String,
    /// The text of `/etc/group`.
    pub group: String,
}

/// Resolves the user. The request's user wins over the image's; a group needs a user (CRI `run_as_group`).
pub(crate) fn resolve(
    context: &LinuxContainerSecurityContext,
    image_user: &str,
    accounts: &Accounts,
) -> Result<User, Failure> {
    let asked = match (&context.run_as_user, context.run_as_username.as_str()) {
        (Some(uid), _) => Some(id("run_as_user", uid.value)?.to_string()),
        (None, "") => None,
        (None, name) => Some(name.to_owned()),
    };
    let asked_group = context.run_as_group.as_ref().map(|gid| id("run_as_group", gid.value)).transpose()?;
    let spelled = match (asked, asked_group) {
        (None, Some(_)) => {
            return Err(Failure::invalid("run_as_group is set without run_as_user or run_as_username"));
        }
        (Some(user), None) => user,
        (Some(user), Some(gid)) => format!("{user}:{gid}"),
        (None, None) => image_user.to_owned(),
    };
    let (uid, mut gid, name) = user_part(spelled.split(':').next().unwrap_or_default(), accounts)?;
    if let Some((_, group)) = spelled.split_once(':').filter(|(_, group)| !group.is_empty()) {
        gid = group_part(group, accounts)?;
    }
    let mut groups = vec![gid];
    for group in &context.supplemental_groups {
        push_new(&mut groups, id("supplemental_groups", *group)?);
    }
    if context.supplemental_groups_policy() == SupplementalGroupsPolicy::Merge
        && let Some(name) = name
    {
        for group in member_of(&name, accounts) {
            push_new(&mut groups, group);
        }
    }
    Ok(User { uid, gid, groups })
}

fn id(field: &str, value: i64) -> Result<u32, Failure> {
    // 2^32-1 means "leave as it is" to setuid(2) and is no user.
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Failure::invalid(format!("{field} {value} is no id")))
}

fn push_new(groups: &mut Vec<u32>, group: u32) {
    if !groups.contains(&group) {
        groups.push(group);
    }
}

struct Line<'a> {
    name: &'a str,
    id: u32,
    rest: Vec<&'a str>,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some(Line { name, id, rest: fields.collect() })
    })
}

/// The id, the primary group and, when the image knows it, the name.
fn user_part(spelled: &str, accounts: &Accounts) -> Result<(u32, u32, Option<String>), Failure> {
    let spelled = if spelled.is_empty() { "0" } else { spelled };
    let number = spelled.parse::<u32>().ok();
    let entry =
        lines(&accounts.passwd).find(|line| number.map_or(line.name == spelled, |uid| line.id == uid));
    match (entry, number) {
        (Some(line), _) => {
            let gid = line.rest.first().and_then(|gid| gid.parse().ok()).unwrap_or(0);
            Ok((line.id, gid, Some(line.name.to_owned())))
        }
        (None, Some(uid)) => Ok((uid, 0, None)),
        (None, None) => Err(Failure::invalid(format!("the image has no user {spelled:?}"))),
    }
}

fn group_part(spelled: &str, accounts: &Accounts) -> Result<u32, Failure> {
    if let Ok(gid) = spelled.parse() {
        return Ok(gid);
    }
    lines(&accounts.group)
        .find(|line| line.name == spelled)
        .map(|line| line.id)
        .ok_or_else(|| Failure::invalid(format!("the image has no group {spelled:?}")))
}

fn member_of(name: &str, accounts: &Accounts) -> Vec<u32> {
    lines(&accounts.group)
        .filter(|line| {
            line.rest.first().is_some_and(|members| members.split(',').any(|member| member == name))
        })
        .map(|line| line.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use api_cri::v1::Int64Value;

    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:\nbroken\nu1000:x:1000:1000::/:\n".into(),
            group: "root:x:0:\nweb:x:34:www\nextra:x:50000:u1000,www\n".into(),
        }
    }

    fn context(uid: Option<i64>, gid: Option<i64>, groups: &[i64]) -> LinuxContainerSecurityContext {
        LinuxContainerSecurityContext {
            run_as_user: uid.map(|value| Int64Value { value }),
            run_as_group: gid.map(|value| Int64Value { value }),
            supplemental_groups: groups.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn the_request_wins_over_the_image_and_groups_are_merged() {
        for (context, image, expected) in [
            (context(None, None, &[]), "", (0, 0, vec![0])),
            (context(None, None, &[]), "www", (33, 34, vec![34, 50000])),
            (context(None, None, &[]), "33:extra", (33, 50000, vec![50000, 34])),
            (context(Some(7), None, &[]), "www", (7, 0, vec![0])),
            (
                context(Some(1000), Some(2000), &[3000, 4000]),
                "www",
                (1000, 2000, vec![2000, 3000, 4000, 50000]),
            ),
        ] {
            let user = resolve(&context, image, &accounts()).unwrap();
            assert_eq!((user.uid, user.gid, user.groups), expected, "{image}");
        }
    }

    #[test]
    fn the_strict_policy_ignores_the_images_groups() {
        let mut strict = context(Some(1000), None, &[5]);
        strict.set_supplemental_groups_policy(SupplementalGroupsPolicy::Strict);
        assert_eq!(resolve(&strict, "", &accounts()).unwrap().groups, [1000, 5]);
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for (context, image) in [
            (context(None, Some(1), &[]), ""),
            (context(Some(-1), None, &[]), ""),
            (context(Some(1 << 32), None, &[]), ""),
            (context(Some(1), None, &[-4]), ""),
            (context(None, None, &[]), "nobody-there"),
            (context(None, None, &[]), "www:nogroup"),
        ] {
            assert!(resolve(&context, image, &accounts()).is_err(), "{image}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_files_of_an_image_make_it_panic(passwd: String, group: String, user: String) {
            let _ = resolve(&LinuxContainerSecurityContext::default(), &user, &Accounts { passwd, group });
        }
    }
}
