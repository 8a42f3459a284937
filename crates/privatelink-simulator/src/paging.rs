//! Pages: `MaxResults`, `NextToken`, `TotalCount`, and the faults that make them wrong.
//!
//! A token identifies the item after which the next page starts, so a list that changes between two pages neither
//! repeats nor skips an item. The real service's behavior in this case is unknown.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::{
    call::{Call, invalid},
    fault::Effect,
    response::Refusal,
};

/// The page sizes that a list permits.
#[derive(Clone, Debug)]
pub(crate) struct PageLimits {
    /// The valid values of `MaxResults`.
    pub(crate) results: RangeInclusive<u32>,
    /// The value of `MaxResults` if the caller sends none.
    pub(crate) default: u32,
    /// The server's own limit.
    pub(crate) server_max: u32,
}

/// Returns the requested page as the fields of a response. `items` are pairs of id and JSON, sorted by id.
pub(crate) fn page(
    items: &[(String, Value)],
    name: &str,
    call: &Call,
    limits: &PageLimits,
    fault: Option<&Effect>,
) -> Result<Value, Refusal> {
    let max_results = match call.get("MaxResults") {
        None => limits.default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|results| limits.results.contains(results))
            .ok_or_else(|| invalid("MaxResults", "out of range"))?,
    };
    let after =
        call.get("NextToken").map(|token| item_before(token).ok_or_else(|| invalid("NextToken", "unknown")));
    let after = after.transpose()?;
    let start = after.as_ref().map_or(0, |after| items.partition_point(|(id, _)| id <= after));
    let length = usize::try_from(max_results.min(limits.server_max)).unwrap_or(usize::MAX);
    let end = items.len().min(start.saturating_add(length));
    let mut listed: Vec<_> = items[start..end].iter().map(|(_, item)| item.clone()).collect();
    let mut next = (end < items.len()).then(|| token_after(&items[end - 1].0));
    let mut total = items.len() as u64;

    match fault {
        Some(Effect::RepeatNextToken) => next = Some(token_after(after.as_deref().unwrap_or_default())),
        Some(Effect::OverstatedTotal { by }) => total = total.saturating_add(*by),
        Some(Effect::UnderstatedTotal { by }) => total = total.saturating_sub(*by),
        Some(Effect::EmptyList) => {
            listed.clear();
            next = None;
            total = 0;
        }
        Some(Effect::ItemField { field, value }) => {
            for item in &mut listed {
                item[field] = value.as_str().into();
            }
        }
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
    let mut response = json!({ "MaxResults": max_results, "TotalCount": total });
    response[name] = listed.into();
    if let Some(next) = next {
        response["NextToken"] = next.into();
    }
    Ok(response)
}

/// The token of the page after this item. It is encoded, because callers must not interpret it.
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
    fn pages_together_contain_every_item_once() {
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
    fn server_limits_the_page_size() {
        assert_eq!(read("", None).unwrap()["Items"], json!(["a", "b", "c"]));
    }

    #[test]
    fn invalid_limit_or_token_is_refused() {
        for query in ["MaxResults=0", "MaxResults=51", "MaxResults=many", "NextToken=FFx", "NextToken=2"] {
            assert_eq!(read(query, None).unwrap_err().code, "InvalidParameter", "{query}");
        }
    }

    #[test]
    fn each_page_fault_changes_the_page() {
        let repeated = read("MaxResults=2", Some(&Effect::RepeatNextToken)).unwrap();
        let second = format!("MaxResults=2&NextToken={}", repeated["NextToken"].as_str().unwrap());
        assert_eq!(read(&second, Some(&Effect::RepeatNextToken)).unwrap(), repeated);
        assert_eq!(read("", Some(&Effect::OverstatedTotal { by: 2 })).unwrap()["TotalCount"], 7);
        assert_eq!(read("", Some(&Effect::UnderstatedTotal { by: 2 })).unwrap()["TotalCount"], 3);
        assert_eq!(read("", Some(&Effect::UnderstatedTotal { by: 9 })).unwrap()["TotalCount"], 0);
        assert_eq!(read("MaxResults=2", Some(&Effect::RepeatedItem)).unwrap()["Items"], json!(["a", "a"]));
        let empty = read("MaxResults=2", Some(&Effect::EmptyList)).unwrap();
        assert_eq!(empty, json!({ "Items": [], "MaxResults": 2, "TotalCount": 0 }));
    }

    #[test]
    fn field_of_every_item_is_replaced() {
        let items: Vec<_> =
            ["a", "b"].map(|id| (id.to_owned(), json!({ "Id": id, "Status": "Active" }))).into();
        let call = Call::read(&Request::get("/").body(Bytes::new()).unwrap());
        let limits = PageLimits { results: 1..=50, default: 50, server_max: 3 };
        let fault = Effect::ItemField { field: "Status".to_owned(), value: "Modifying".to_owned() };
        let page = page(&items, "Items", &call, &limits, Some(&fault)).unwrap();
        assert_eq!(
            page["Items"],
            json!([{ "Id": "a", "Status": "Modifying" }, { "Id": "b", "Status": "Modifying" }])
        );
    }

    fn read(query: &str, fault: Option<&Effect>) -> Result<Value, Refusal> {
        let items: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| (id.to_owned(), Value::from(id))).into();
        let call = Call::read(&Request::get(format!("/?{query}")).body(Bytes::new()).unwrap());
        let limits = PageLimits { results: 1..=50, default: 50, server_max: 3 };
        page(&items, "Items", &call, &limits, fault)
    }
}
