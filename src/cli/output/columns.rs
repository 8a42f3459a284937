//! Text in columns, for terminals of any width.

use comfy_table::{ContentArrangement, Row, Table, presets};

/// The rows in aligned columns, without lines around them. They are wrapped to `width`, if that is given.
pub(in crate::cli) fn text<R: Into<Row>>(rows: impl IntoIterator<Item = R>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A paragraph, wrapped to `width`, if that is given.
pub(in crate::cli) fn paragraph(text: &str, width: Option<u16>) -> String {
    self::text([[text]], width)
}

/// The rows below a header if the table fits; otherwise each row as lines of its own, made by `list`: an id must not be
/// broken, because operators copy it.
pub(in crate::cli) fn table<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<u16>,
    list: impl Fn(&[String; N]) -> String,
) -> String {
    let table = text(std::iter::once(header.map(str::to_owned)).chain(rows.iter().cloned()), None);
    let fits = |width: u16| table.lines().all(|line| line.chars().count() <= usize::from(width));
    if width.is_none_or(fits) {
        return table;
    }
    rows.iter().map(list).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_wrapped_to_the_width() {
        let rows = [["endpoint", "ep-a"], ["groups now", "sg-a, sg-b, sg-c, sg-d"]];
        assert_eq!(text(rows, None), "endpoint    ep-a\ngroups now  sg-a, sg-b, sg-c, sg-d");
        let narrow = text(rows, Some(30));
        assert!(narrow.lines().count() > 2 && narrow.lines().all(|line| line.len() <= 30), "{narrow}");
        assert!(narrow.contains("sg-d"), "nothing is cut off: {narrow}");
    }

    #[test]
    fn table_that_does_not_fit_is_a_list() {
        let rows = [["ep-a".to_owned(), "detached".to_owned()], ["ep-b".to_owned(), "refused".to_owned()]];
        let table = |width| table(["ENDPOINT", "OUTCOME"], &rows, width, |row| row.join("\n  "));
        for wide in [None, Some(18)] {
            assert_eq!(table(wide), "ENDPOINT  OUTCOME\nep-a      detached\nep-b      refused");
        }
        assert_eq!(table(Some(17)), "ep-a\n  detached\nep-b\n  refused");
    }
}
