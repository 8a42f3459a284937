//! The pages of one list, a body on each line: together they are a complete list, or inconclusive.

use std::fmt;

use privatelink_detach::alibaba::pages::{Bounds, Identified, List, Page, Pages, Turn};
use privatelink_detach::alibaba::privatelink::Action;
use privatelink_detach::alibaba::response::{self, Response};

use crate::memory::{Bound, bounded};

/// The maximum number of entries of a list, from the contract.
const ITEMS_MAX: usize = 500;

/// The pages are kept until the last one, with all their tokens.
const MEMORY: Bound = Bound { base: 16 * 1024, per_byte: 32 };

pub(crate) fn check(input: &[u8]) {
    let lines = || input.split(|byte| *byte == b'\n');
    check_list(
        input.len(),
        lines().filter_map(|line| match response::read(Action::ListSecurityGroups, line)?.0 {
            Response::SecurityGroups(page) => Some(page),
            other => panic!("{other:?} is not a list of groups"),
        }),
    );
    check_list(
        input.len(),
        lines().filter_map(|line| match response::read(Action::ListEndpoints, line)?.0 {
            Response::Endpoints(page) => Some(page),
            other => panic!("{other:?} is not a list of endpoints"),
        }),
    );
}

/// Compares every turn with the expected one for the pages so far.
fn check_list<T: Identified + Clone + PartialEq + fmt::Debug>(
    input_length: usize,
    coming: impl Iterator<Item = Page<T>>,
) {
    let mut pages = Pages::default();
    let mut read: Vec<Page<T>> = Vec::new();
    for page in coming {
        read.push(page.clone());
        let turn = bounded(&MEMORY, input_length, || pages.add(page));
        assert_eq!(turn, turn_after(&read));
        assert_eq!(pages.is_begun(), matches!(turn, Turn::More(_)));
        if !pages.is_begun() {
            read.clear();
        }
    }
}

/// The expected turn, derived from all pages at once.
fn turn_after<T: Identified + Clone>(pages: &[Page<T>]) -> Turn<T> {
    let is_repeated = |ids: &[&str]| (1..ids.len()).any(|n| ids[..n].contains(&ids[n]));
    let items: Vec<T> = pages.iter().flat_map(|page| page.items.clone()).collect();
    if items.len() > ITEMS_MAX {
        return Turn::Broken;
    }
    let ids: Vec<_> = items.iter().map(Identified::id).collect();
    let tokens: Vec<_> = pages.iter().filter_map(|page| page.next_token.as_deref()).collect();
    let totals: Vec<_> = pages.iter().map(|page| page.total_count).collect();
    let has_new_total = totals.iter().any(|total| *total != totals[0]);
    if is_repeated(&ids) || is_repeated(&tokens) || has_new_total {
        return Turn::Broken;
    }
    match (pages.last().and_then(|page| page.next_token.clone()), totals[0]) {
        (Some(_), _) if pages.len() >= Bounds::default().pages_max => Turn::Broken,
        (Some(token), _) => Turn::More(token),
        (None, Some(total)) if total > items.len() as u64 => Turn::Broken,
        (None, total) => {
            let is_plain = pages.len() == 1 && total.is_none_or(|total| total == items.len() as u64);
            Turn::Complete(List { items, is_plain })
        }
    }
}
