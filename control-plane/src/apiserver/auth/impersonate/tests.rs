use std::cell::RefCell;

use super::super::Verdict;
use super::*;

/// Allows what is listed, as `VERB GROUP/RESOURCE/SUBRESOURCE NAMESPACE/NAME`, and notes what it was asked.
struct Listed<'a> {
    allowed: &'a [&'a str],
    asked: RefCell<Vec<String>>,
}

impl Authorizer for Listed<'_> {
    fn authorize(&self, _: &User, action: &Action<'_>) -> Verdict {
        let text = match action.target {
            Target::Path(path) => format!("{} {path}", action.verb),
            Target::Resource(on) => format!(
                "{} {}/{}/{} {}/{}",
                action.verb, on.group, on.resource, on.subresource, on.namespace, on.name
            ),
        };
        let allowed = self.allowed.contains(&&text[..]);
        self.asked.borrow_mut().push(text);
        if allowed { Verdict::allow("") } else { Verdict::refuse("") }
    }
}

const PODS: Resource<'static> =
    Resource { group: "", resource: "pods", subresource: "", namespace: "ns", name: "", fields: &[] };

fn run(user: &User, allowed: &[&str], headers: &[(&str, &str)]) -> Result<Option<User>, String> {
    let listed = Listed { allowed, asked: RefCell::default() };
    let result = impersonate(user, headers.iter().copied(), &Action::on("list", PODS), &listed);
    result.map_err(|refusal| {
        format!("{} {} {:?}", refusal.code.as_u16(), refusal.message, listed.asked.borrow())
    })
}

#[test]
fn without_headers_nobody_else_acts_and_without_a_name_nobody_can() {
    let admin = User::new("admin", &[]);
    assert_eq!(run(&admin, &[], &[("accept", "x")]), Ok(None));
    for (header, shown) in [
        (("impersonate-group", "g"), r#"UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)"#),
        (("impersonate-uid", "u"), r#"UID:"u", Groups:[]string(nil), Extra:map[string][]string(nil)"#),
        (
            ("impersonate-extra-a%2fb", "v"),
            r#"UID:"", Groups:[]string(nil), Extra:map[string][]string{"a/b":[]string{"v"}}"#,
        ),
    ] {
        let refusal = run(&admin, &[], &[header]).unwrap_err();
        let message = format!(
            "400 requested &user.DefaultInfo{{Name:\"\", {shown}}} without impersonating a user name"
        );
        assert!(refusal.starts_with(&message), "{refusal}");
    }
}

#[test]
fn the_old_way_asks_for_every_part() {
    let admin = User::new("admin", &[]);
    let headers = [
        ("impersonate-user", "alice"),
        ("impersonate-group", "dev"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-scopes", "view"),
    ];
    let allowed = [
        "impersonate /users/ /alice",
        "impersonate /groups/ /dev",
        "impersonate /groups/ /ops",
        "impersonate authentication.k8s.io/uids/ /7",
        "impersonate authentication.k8s.io/userextras/scopes /view",
    ];
    let alice = run(&admin, &allowed, &headers).unwrap().unwrap();
    assert_eq!((&alice.name[..], &alice.uid[..]), ("alice", "7"));
    assert_eq!(alice.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(alice.extra["scopes"], ["view"]);
    for missing in 0..allowed.len() {
        let mut fewer = allowed.to_vec();
        fewer.remove(missing);
        let refusal = run(&admin, &fewer, &headers).unwrap_err();
        // The first way that was tried is the one that is told.
        let message = "403 pods is forbidden: User \"admin\" cannot impersonate-on:user-info:list resource \"pods\" \
                       in API group \"\" in the namespace \"ns\"";
        assert!(refusal.starts_with(message), "{refusal}");
    }
}

#[test]
fn groups_follow_from_the_name_unless_they_are_given() {
    let admin = User::new("admin", &[]);
    let account = ("impersonate-user", "system:serviceaccount:ns:sa");
    let allowed = [
        "impersonate /serviceaccounts/ ns/sa",
        "impersonate /groups/ /g",
        "impersonate /users/ /system:anonymous",
        "impersonate /groups/ /system:unauthenticated",
        "impersonate /users/ /bob",
    ];
    for (headers, groups) in [
        (vec![account], vec!["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]),
        (vec![account, ("impersonate-group", "g")], vec!["g", "system:authenticated"]),
        (vec![("impersonate-user", "system:anonymous")], vec!["system:unauthenticated"]),
        (
            vec![("impersonate-user", "bob"), ("impersonate-group", "system:unauthenticated")],
            vec!["system:unauthenticated"],
        ),
    ] {
        assert_eq!(run(&admin, &allowed, &headers).unwrap().unwrap().groups, groups, "{headers:?}");
    }
}

#[test]
fn a_constrained_way_is_open_to_what_it_names_alone() {
    let admin = User::new("admin", &[]);
    let mut agent = User::service_account("ns", "agent", "");
    agent.extra.insert(token::NODE_NAME.to_owned(), vec!["n1".to_owned()]);
    let user = |name| vec![("impersonate-user", name)];
    let on = "impersonate-on:user-info:list /pods/ ns/";
    let with = |mut headers: Vec<(&'static str, &'static str)>, more| {
        headers.push(more);
        headers
    };
    for (who, headers, allowed, expected) in [
        (
            &admin,
            user("alice"),
            vec![on, "impersonate:user-info authentication.k8s.io/users/ /alice"],
            Ok("system:authenticated"),
        ),
        (
            &admin,
            user("alice"),
            vec!["impersonate:user-info authentication.k8s.io/users/ /alice"],
            Err("impersonate-on:user-info:list"),
        ),
        (&admin, user("alice"), vec![on], Err("impersonate:user-info")),
        (
            &admin,
            with(user("alice"), ("impersonate-group", "system:masters")),
            vec![
                on,
                "impersonate:user-info authentication.k8s.io/users/ /alice",
                "impersonate:user-info authentication.k8s.io/groups/ /system:masters",
            ],
            Err("impersonating the system:masters group is not allowed"),
        ),
        (
            &admin,
            user("system:node:n1"),
            vec![
                "impersonate-on:arbitrary-node:list /pods/ ns/",
                "impersonate:arbitrary-node authentication.k8s.io/nodes/ /n1",
            ],
            Ok("system:nodes"),
        ),
        (
            &admin,
            user("system:serviceaccount:a:b"),
            vec![
                "impersonate-on:serviceaccount:list /pods/ ns/",
                "impersonate:serviceaccount authentication.k8s.io/serviceaccounts/ a/b",
            ],
            Ok("system:serviceaccounts"),
        ),
        (
            &agent,
            user("system:node:n1"),
            vec![
                "impersonate-on:associated-node:list /pods/ ns/",
                "impersonate:associated-node authentication.k8s.io/nodes/ /*",
            ],
            Ok("system:nodes"),
        ),
        (
            &agent,
            user("system:node:n2"),
            vec![
                "impersonate-on:associated-node:list /pods/ ns/",
                "impersonate:associated-node authentication.k8s.io/nodes/ /*",
            ],
            Err("impersonate-on:arbitrary-node:list"),
        ),
        (
            &admin,
            with(user("alice"), ("impersonate-extra-plain", "v")),
            vec![
                on,
                "impersonate:user-info authentication.k8s.io/users/ /alice",
                "impersonate:user-info authentication.k8s.io/userextras/plain /v",
            ],
            Err("impersonating an invalid key in extra is not allowed"),
        ),
    ] {
        let found = run(who, &allowed, &headers);
        match expected {
            Ok(group) => assert_eq!(found.unwrap().unwrap().groups[0], group, "{headers:?}"),
            Err(why) => assert!(found.clone().unwrap_err().contains(why), "{headers:?} {found:?}"),
        }
    }
}

#[test]
fn many_groups_are_one_question_where_one_answer_covers_them() {
    let admin = User::new("admin", &[]);
    let headers = [
        ("impersonate-user", "alice"),
        ("impersonate-group", "a"),
        ("impersonate-group", "b"),
        ("impersonate-group", "c"),
        ("impersonate-group", "d"),
    ];
    let allowed = [
        "impersonate-on:user-info:list /pods/ ns/",
        "impersonate:user-info authentication.k8s.io/users/ /alice",
        "impersonate:user-info authentication.k8s.io/groups/ /*",
    ];
    assert_eq!(run(&admin, &allowed, &headers).unwrap().unwrap().groups.len(), 5);
    assert!(run(&admin, &allowed[..2], &headers).is_err());
    assert!(run(&admin, &allowed, &headers[..4]).is_err(), "three are asked for one by one");
}
