//! Pages: `MaxResults`, `NextToken`, `TotalCount`, and the ways in which they can be wrong.
//!
//! A token says after which item the next page starts, so a list that changes between two pages neither repeats nor
//! skips an item. What the real service does then is unknown.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::{
    answer::Refusal,
    call::{Call, invalid},
    fault::Effect,
};

/// What a list allows.
#[derive(Clone, Debug)]
pub(crate) struct PageLimits {
    /// What `MaxResults` may be.
    pub(crate) results: RangeInclusive<u32>,
    /// What it is if the caller says nothing.
    pub(crate) default: u32,
    /// The server's own cap.
    pub(crate) server_max: u32,
}

/// The page that a call asks for, as the fields of its answer. `items` are in the order of their ids, which come first.
pub(crate) fn page(
    items: &[(String, Value)],
    name: &str,
    call: &Call,
    limits: &PageLimits,
    fault: Option<&Effect>,
) -> Result<Value, Refusal> {
    let asked_for = match call.get("MaxResults") {
        None => limits.default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|results| limits.results.contains(results))
            .ok_or_else(|| invalid("MaxResults", "it is out of range"))?,
    };
    let after =
        call.get("NextToken").map(|token| item_before(token).ok_or_else(|| invalid("NextToken", "unknown")));
    let after = after.transpose()?;
    let start = after.as_ref().map_or(0, |after| items.partition_point(|(id, _)| id <= after));
    let length = usize::try_from(asked_for.min(limits.server_max)).unwrap_or(usize::MAX);
    let end = items.len().min(start.saturating_add(length));
    let mut listed: Vec<_> = items[start..end].iter().map(|(_, item)| item.clone()).collect();
    let mut next = (end < items.len()).then(|| token_after(&items[end - 1].0));
    let mut total = items.len() as u64;

    match fault {
        Some(Effect::RepeatNextToken) => next = Some(token_after(after.as_deref().unwrap_or_default())),
        Some(Effect::OverstatedTotal { by }) => total = total.saturating_add(*by),
        Some(Effect::RepeatedItem) => {
            if let Some(first) = listed.first().cloned() {
                if listed.len() > 1 {
                    listed.pop();
                }
                listed.push(first);
            }
        }
        _ => {}
    }
    let mut answer = json!({ "MaxResults": asked_for, "TotalCount": total });
    answer[name] = listed.into();
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

/// The token of the page after this item; callers must not read it, so it does not look like an id.
fn token_after(id: &str) -> String {
    let digits = id.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    format!("FF{}", digits.collect::<String>())
}

fn item_before(token: &str) -> Option<String> {
    let (pairs, []) = token.strip_prefix("FF")?.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<_>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;

    #[test]
    fn the_pages_together_hold_every_item_once() {
        let (mut seen, mut query) = (Vec::new(), "MaxResults=2".to_owned());
        for _ in 0..3 {
            let page = read(&query, None).unwrap();
            assert_eq!(page["TotalCount"], 5);
            assert_eq!(page["MaxResults"], 2);
            seen.extend(page["Items"].as_array().unwrap().clone());
            match page["NextToken"].as_str() {
                Some(token) => query = format!("MaxResults=2&NextToken={token}"),
                None => break,
            }
        }
        assert_eq!(Value::from(seen), json!(["a", "b", "c", "d", "e"]));
    }

    #[test]
    fn a_page_is_never_longer_than_the_server_allows() {
        assert_eq!(read("", None).unwrap()["Items"], json!(["a", "b", "c"]));
    }

    #[test]
    fn limits_and_tokens_that_make_no_sense_are_refused() {
        for query in ["MaxResults=0", "MaxResults=51", "MaxResults=many", "NextToken=FFx", "NextToken=2"] {
            assert_eq!(read(query, None).unwrap_err().code, "InvalidParameter", "{query}");
        }
    }

    #[test]
    fn each_page_fault_spoils_the_page_in_its_way() {
        let repeated = read("MaxResults=2", Some(&Effect::RepeatNextToken)).unwrap();
        let again = format!("MaxResults=2&NextToken={}", repeated["NextToken"].as_str().unwrap());
        assert_eq!(read(&again, Some(&Effect::RepeatNextToken)).unwrap(), repeated);
        assert_eq!(read("", Some(&Effect::OverstatedTotal { by: 2 })).unwrap()["TotalCount"], 7);
        assert_eq!(read("MaxResults=2", Some(&Effect::RepeatedItem)).unwrap()["Items"], json!(["a", "a"]));
    }

    fn read(query: &str, fault: Option<&Effect>) -> Result<Value, Refusal> {
        let items: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| (id.to_owned(), Value::from(id))).into();
        let call = Call::read(&Request::get(format!("/?{query}")).body(Bytes::new()).unwrap());
        let limits = PageLimits { results: 1..=50, default: 50, server_max: 3 };
        page(&items, "Items", &call, &limits, fault)
    }
}
