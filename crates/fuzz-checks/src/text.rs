//! Limits of text that leaves the program: its length, and what it must not contain.

/// Asserts that a text has at most this length, and no control characters, which a terminal would interpret.
pub(crate) fn assert_tame(text: &str, characters_max: usize) {
    let characters = text.chars().count();
    assert!(
        characters <= characters_max,
        "{characters} characters; the maximum is {characters_max}: {text:?}"
    );
    assert!(!text.chars().any(char::is_control), "a control character: {text:?}");
}

/// Asserts that a text contains none of these words.
pub(crate) fn assert_without(text: &str, words: &[&str]) {
    for word in words {
        assert!(!text.contains(word), "{word:?} is in {text:?}");
    }
}
