//! Pages of a list, read until the list is complete.
//!
//! A list with a missing page must never pass for one without our group, so pages that contradict each other are
//! [`Turn::Broken`].

use std::collections::HashSet;

/// How long a list may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub pages_max: usize,
    pub items_max: usize,
}

/// Far more than the 10 groups of an endpoint; even pages of one entry fit.
impl Default for Bounds {
    fn default() -> Self {
        Self { pages_max: 50, items_max: 500 }
    }
}

/// One page as the service sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next_token: Option<String>,
    /// How many entries the whole list has, if the service says so.
    pub total_count: Option<u64>,
}

/// An entry with an id.
pub trait Identified {
    fn id(&self) -> &str;
}

/// The pages of one list that were read so far.
#[derive(Debug, Clone)]
pub struct Pages<T> {
    bounds: Bounds,
    items: Vec<T>,
    /// Their ids.
    ids: HashSet<String>,
    tokens: Vec<String>,
    total_count: Option<u64>,
}

/// All entries of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    pub items: Vec<T>,
    /// Whether the list came in one page and has no more entries than the service counts. Any other list may have changed
    /// between two pages, or be wrong.
    pub is_plain: bool,
}

/// What to do after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn<T> {
    /// Read the next page with this token.
    More(String),
    /// The list is complete, as far as its pages show.
    Complete(List<T>),
    /// The pages contradict each other: the list is unknown.
    Broken,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self::within(Bounds::default())
    }
}

impl<T> Pages<T> {
    /// No pages yet, of a list within these bounds.
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds, items: Vec::new(), ids: HashSet::new(), tokens: Vec::new(), total_count: None }
    }
}

impl<T: Identified> Pages<T> {
    /// Adds the next page. After `Complete` or `Broken` the pages are empty again.
    pub fn add(&mut self, page: Page<T>) -> Turn<T> {
        if self.items.len() + page.items.len() > self.bounds.items_max {
            return self.broken();
        }
        let is_recounted = self.is_begun() && page.total_count != self.total_count;
        self.total_count = page.total_count;
        let mut is_repeated = false;
        for item in page.items {
            is_repeated |= !self.ids.insert(item.id().to_owned());
            self.items.push(item);
        }
        if is_repeated || is_recounted {
            return self.broken();
        }
        match page.next_token {
            Some(token) if self.tokens.contains(&token) => self.broken(),
            Some(_) if self.tokens.len() + 1 >= self.bounds.pages_max => self.broken(),
            Some(token) => {
                self.tokens.push(token.clone());
                Turn::More(token)
            }
            None if self.total_count.is_some_and(|total| total > self.items.len() as u64) => self.broken(),
            None => {
                let Self { items, tokens, total_count, .. } = self.take();
                let is_counted = total_count.is_none_or(|total| total == items.len() as u64);
                Turn::Complete(List { items, is_plain: tokens.is_empty() && is_counted })
            }
        }
    }

    /// The number of entries read so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Whether a page was read and the list is not complete.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !self.tokens.is_empty()
    }

    fn broken(&mut self) -> Turn<T> {
        self.take();
        Turn::Broken
    }

    /// The pages so far; none are left.
    fn take(&mut self) -> Self {
        let bounds = self.bounds;
        std::mem::replace(self, Self::within(bounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Identified for &str {
        fn id(&self) -> &str {
            self
        }
    }

    #[derive(Debug, Clone)]
    struct Numbered(String);

    impl Identified for Numbered {
        fn id(&self) -> &str {
            &self.0
        }
    }

    fn page(items: &[&'static str], next: Option<&str>, total: Option<u64>) -> Page<&'static str> {
        Page { items: items.to_vec(), next_token: next.map(str::to_owned), total_count: total }
    }

    #[test]
    fn pages_form_a_complete_list() {
        let mut pages = Pages::default();
        assert_eq!(pages.add(page(&["a"], Some("1"), Some(3))), Turn::More("1".to_owned()));
        assert_eq!(pages.add(page(&["b"], Some("2"), Some(3))), Turn::More("2".to_owned()));
        let complete =
            |items: &[&'static str], is_plain| Turn::Complete(List { items: items.to_vec(), is_plain });
        assert_eq!(pages.add(page(&["c"], None, Some(3))), complete(&["a", "b", "c"], false));
        assert_eq!(pages.add(page(&[], None, None)), complete(&[], true), "the next list starts empty");
    }

    #[test]
    fn list_is_plain_in_one_page_with_the_counted_entries() {
        let is_plain = |items, total| match Pages::default().add(page(items, None, total)) {
            Turn::Complete(list) => list.is_plain,
            other => panic!("not complete: {other:?}"),
        };
        assert!(is_plain(&["a", "b"], Some(2)) && is_plain(&["a", "b"], None));
        assert!(!is_plain(&["a", "b"], Some(1)), "more entries than counted");
    }

    #[test]
    fn list_beyond_the_entry_limit_is_broken() {
        let some = |from: usize, count: usize, next: Option<&str>| {
            let items = (from..from + count).map(|n| Numbered(n.to_string())).collect();
            Page { items, next_token: next.map(str::to_owned), total_count: None }
        };
        let items_max = Bounds::default().items_max;
        assert!(matches!(Pages::default().add(some(0, items_max, None)), Turn::Complete(_)));
        assert!(matches!(Pages::default().add(some(0, items_max + 1, None)), Turn::Broken));
        let mut pages = Pages::default();
        assert!(matches!(pages.add(some(0, 2, Some("1"))), Turn::More(_)));
        assert!(matches!(pages.add(some(2, items_max - 1, None)), Turn::Broken));
    }

    #[test]
    fn contradicting_pages_are_broken() {
        let first = || {
            let mut pages = Pages::default();
            pages.add(page(&["a"], Some("1"), Some(2)));
            pages
        };
        for (why, second) in [
            ("falls short of the total", page(&[], None, Some(2))),
            ("repeats a token", page(&["b"], Some("1"), Some(2))),
            ("repeats an entry", page(&["a"], None, Some(2))),
            ("repeats an entry within the page", page(&["b", "b"], None, Some(3))),
            ("counts anew", page(&["b"], None, Some(3))),
        ] {
            assert_eq!(first().add(second), Turn::Broken, "{why}");
        }
        assert_eq!(
            Pages::default().add(page(&[], None, Some(1))),
            Turn::<&str>::Broken,
            "empty, but counted"
        );
    }

    #[test]
    fn page_beyond_the_entry_limit_is_broken_at_once() {
        let mut pages = Pages::<&str>::default();
        let flood = Page { items: vec!["a"; 1_000_000], next_token: None, total_count: None };
        assert_eq!(pages.add(flood), Turn::Broken);
    }

    #[test]
    fn endless_pages_are_broken_at_the_page_limit() {
        let pages_max = Bounds::default().pages_max;
        let mut pages = Pages::<&str>::default();
        let turns: Vec<_> =
            (1..=pages_max).map(|n| pages.add(page(&[], Some(&n.to_string()), None))).collect();
        assert_eq!(turns.iter().position(|turn| *turn == Turn::Broken), Some(pages_max - 1));
    }
}
