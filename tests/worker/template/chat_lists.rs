//! The patterns of the four lists of chat: they accept the ids of every platform, and nothing that the intake rejects.

use privatelink_detach::chat::identity::{Conversation, Person, Tenant};
use serde_json::json;

use crate::cloudformation::parameter;
use crate::schemas::validate;

/// Entries of `ChatTenants`.
const TENANTS: [&str; 6] = [
    "slack:T04TEAMAAAA",
    "dingtalk:ding9f50b15bccd16741",
    "dingtalk:ding0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "feishu:736588c9260f175d",
    "feishu:2ca1d211f64f6438",
    // Lark's tenants are also entries of `feishu`.
    "feishu:13586be5aacf1748",
];

/// Entries of `ChatConversations`. `DingTalk`'s are base64, in which a slash does not separate anything.
const CONVERSATIONS: [&str; 7] = [
    "slack:T04TEAMAAAA/C04OPSAAAAA",
    "slack:T04TEAMAAAA/G04OPSAAAAA",
    "dingtalk:ding9f50b15bccd16741/cid6KeBBLoveMJOGXoYKF5x7EeiodoA==",
    "dingtalk:ding9f50b15bccd16741/cid/a+b/c/9876543210=",
    "dingtalk:ding9f50b15bccd16741/cidURL-safe_base64",
    "feishu:736588c9260f175d/oc_a0553eda9014c201e6969b478895c230",
    "feishu:736588c9260f175d/oc_5ad11d72b830411d72b836c20",
];

/// Entries of `ChatRequesters` and `ChatApprovers`. An organization chooses `DingTalk`'s.
const PEOPLE: [&str; 7] = [
    "slack:T04TEAMAAAA/U09APPROVER",
    "slack:T04TEAMAAAA/W09APPROVER",
    "dingtalk:ding9f50b15bccd16741/manager4220",
    "dingtalk:ding9f50b15bccd16741/0256221523852458",
    "dingtalk:ding9f50b15bccd16741/zhang.san_01-ops",
    "feishu:736588c9260f175d/ou_84aad35d084aa403a838cf73ee18467",
    "feishu:736588c9260f175d/ou_7d8a6e6df7621556ce0d21922b676706ccs",
];

/// Entries that no list of a deployment accepts.
const NO_ENTRY: [&str; 30] = [
    "*",
    " ",
    "T04TEAMAAAA",
    "irc:T04TEAMAAAA",
    "slack:",
    "slack:04TEAMAAAA",
    "slack:t04teamaaaa",
    "slack:T04TEAMAAAA/",
    "slack:T04TEAMAAAA/D04DIRECTAA",
    "slack:T04TEAMAAAA/*",
    "DingTalk:ding9f50b15bccd16741",
    "dingtalk:",
    "dingtalk:ding 9f50",
    "dingtalk:/cid6KeBBLoveMJOGXoYKF5x7EeiodoA==",
    "dingtalk:ding9f50b15bccd16741/",
    "dingtalk:ding9f50b15bccd16741/*",
    "dingtalk:ding9f50b15bccd16741/cid6KeB BLove==",
    "dingtalk:ding9f50b15bccd16741/user@example.com",
    "dingtalk:ding9f50b15bccd16741/张三",
    "dingtalk:ding9f50b15bccd16741/$:LWCP_v1:$AbC",
    "dingtalk:ding9f50b15bccd16741/a/b",
    "lark:736588c9260f175d",
    "feishu:",
    "feishu:736588c9260f175d/",
    "feishu:736588c9260f175d/*",
    "feishu:736588c9260f175d/oc_",
    "feishu:736588c9260f175d/ou_",
    "feishu:736588c9260f175d/on_94a1ee5551019f18cd73d9f111898cf2",
    "feishu:736588c9260f175d/om_dc13264520392913993dd051dba21dcf",
    "feishu:736588c9260f175d/oc_a0553eda/x",
];

/// A list, and the code's parser of its entries.
struct List {
    parameter: &'static str,
    entries: &'static [&'static str],
    is_parsed: fn(&str) -> bool,
}

const LISTS: [List; 4] = [
    List { parameter: "ChatTenants", entries: &TENANTS, is_parsed: |entry| Tenant::parse(entry).is_some() },
    List {
        parameter: "ChatConversations",
        entries: &CONVERSATIONS,
        is_parsed: |entry| Conversation::parse(entry).is_some(),
    },
    List { parameter: "ChatRequesters", entries: &PEOPLE, is_parsed: |entry| Person::parse(entry).is_some() },
    List { parameter: "ChatApprovers", entries: &PEOPLE, is_parsed: |entry| Person::parse(entry).is_some() },
];

/// Whether CloudFormation accepts a value of the parameter.
fn is_accepted(name: &str, value: &str) -> bool {
    let pattern = json!({ "type": "string", "pattern": parameter(name).key("AllowedPattern").text() });
    validate(&pattern.to_string(), &json!(value)).is_ok()
}

#[test]
fn lists_accept_the_ids_of_every_platform() {
    for List { parameter, entries, is_parsed } in LISTS {
        for entry in entries {
            assert!(is_accepted(parameter, entry), "{parameter}: {entry}");
            assert!(is_parsed(entry), "{parameter}: {entry}");
        }
        assert!(is_accepted(parameter, &entries.join(",")), "{parameter}");
        assert!(is_accepted(parameter, ""), "{parameter}");
    }
    assert!(is_accepted("ChatRequesters", "*"));
}

#[test]
fn lists_reject_everything_else() {
    for List { parameter, entries, .. } in LISTS {
        let first = entries[0];
        let no_entry = NO_ENTRY.into_iter().filter(|text| (parameter, *text) != ("ChatRequesters", "*"));
        for text in no_entry {
            assert!(!is_accepted(parameter, text), "{parameter}: {text}");
            assert!(!is_accepted(parameter, &format!("{first},{text}")), "{parameter}: {text}");
        }
        for list in [format!("{first},"), format!(",{first}"), format!("{first}, {first}"), first.repeat(2)] {
            assert!(!is_accepted(parameter, &list), "{list}");
        }
        let other_lists = LISTS.into_iter().filter(|other| other.entries != entries);
        for entry in other_lists.flat_map(|other| other.entries) {
            // A person of `DingTalk` may have any name, also one that looks like a conversation.
            let is_also_person = entry.contains("/cid") && entry.matches('/').count() == 1;
            let is_valid = is_also_person && entries == PEOPLE;
            assert_eq!(is_accepted(parameter, entry), is_valid, "{parameter}: {entry}");
        }
    }
    assert!(!is_accepted("ChatConversations", "dingtalk:ding9f50b15bccd16741/cid"));
}

#[test]
fn longest_accepted_ids_are_those_of_the_code() {
    let entries = [
        ("ChatTenants", "dingtalk:", 64),
        ("ChatTenants", "feishu:", 64),
        ("ChatConversations", "dingtalk:ding1/cid", 125),
        ("ChatConversations", "feishu:1/oc_", 125),
        ("ChatApprovers", "dingtalk:ding1/", 64),
        ("ChatApprovers", "feishu:1/ou_", 61),
        ("ChatRequesters", "dingtalk:ding1/", 64),
        ("ChatRequesters", "feishu:1/ou_", 61),
    ];
    for (name, start, rest) in entries {
        let List { is_parsed, .. } = LISTS.into_iter().find(|list| list.parameter == name).unwrap();
        for (length, is_valid) in [(rest, true), (rest + 1, false)] {
            let entry = format!("{start}{}", "a".repeat(length));
            assert_eq!(
                (is_accepted(name, &entry), is_parsed(&entry)),
                (is_valid, is_valid),
                "{name}: {entry}"
            );
        }
    }
}
