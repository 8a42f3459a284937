//! Text that leaves the program: how long it may be, and what must not be in it.

/// Asserts that a text is no longer than that, and that no terminal would obey it.
pub(crate) fn assert_tame(text: &str, characters_max: usize) {
    let characters = text.chars().count();
    assert!(
        characters <= characters_max,
        "{characters} characters, and {characters_max} is the most: {text:?}"
    );
    assert!(!text.chars().any(char::is_control), "a control character: {text:?}");
}

/// Asserts that a text has none of these words in it.
pub(crate) fn assert_without(text: &str, words: &[&str]) {
    for word in words {
        assert!(!text.contains(word), "{word:?} is in {text:?}");
    }
}
