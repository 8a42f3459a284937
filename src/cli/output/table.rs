//! References as a table, or as a list where a table does not fit.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::sweep::Reference;
use crate::text::shortened;

/// The smallest width of a wrapped name, in columns. With less room the list is easier to read.
const NAME_WIDTH_MIN: u16 = 12;

/// Blank columns between two columns of the table.
const GAP: u16 = 2;

/// The columns, in their order. Only names wrap: an id must not be broken, because operators copy it.
const HEADER: [&str; 7] = ["REGION", "ENDPOINT", "NAME", "GROUP", "STATUS", "BLOCKED BY", "REPLACE BY"];

/// The position of the name among the columns.
const NAME: usize = 2;

/// The position of the replacement, the last column. Without replacements there is none.
const REPLACE_BY: usize = 6;

/// The references as lines of at most this many columns; without a limit, one line for each. Empty if there are none.
pub(in crate::cli) fn references(references: &[Reference], width: Option<u16>) -> String {
    if references.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; HEADER.len()]> = references.iter().map(row).collect();
    let table = table(&rows);
    let text = match width {
        None => table.trim_fmt(),
        Some(width) => within(table, width).unwrap_or_else(|| list(&rows)),
    };
    text + "\n"
}

fn row(reference: &Reference) -> [String; HEADER.len()] {
    let name = reference.endpoint_name.as_deref().map(shortened).filter(|name| !name.trim().is_empty());
    let blocked_by = reference.blocked_by.as_ref().map(ToString::to_string);
    let replace_by = reference.replacement_security_group_id.as_ref().map(ToString::to_string);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        reference.region_id.to_string(),
        reference.endpoint_id.to_string(),
        or_dash(name),
        reference.security_group_id.to_string(),
        reference.status.as_str().to_owned(),
        or_dash(blocked_by),
        or_dash(replace_by),
    ]
}

fn table(rows: &[[String; HEADER.len()]]) -> Table {
    let has_replacement = rows.iter().any(|row| row[REPLACE_BY] != "-");
    let columns = if has_replacement { HEADER.len() } else { REPLACE_BY };
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(&HEADER[..columns])
        .add_rows(rows.iter().map(|row| &row[..columns]));
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, GAP));
    });
    table
}

/// The table in this many columns; `None` if it does not fit.
fn within(mut table: Table, width: u16) -> Option<String> {
    let widths = table.column_max_content_widths();
    let others: u32 =
        widths.iter().map(|width| u32::from(width + GAP)).sum::<u32>() - u32::from(widths[NAME] + GAP);
    // The gap after the last column is trimmed.
    let room = u16::try_from(u32::from(width).checked_sub(others)?).ok()?;
    if room < NAME_WIDTH_MIN.min(widths[NAME]) {
        return None;
    }
    if room < widths[NAME] {
        let exactly = ColumnConstraint::Absolute(Width::Fixed(room + GAP));
        table.column_mut(NAME)?.set_constraint(exactly);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::MAX);
    }
    Some(table.trim_fmt())
}

/// A few short lines for each reference.
fn list(rows: &[[String; HEADER.len()]]) -> String {
    let entry = |[region, endpoint, name, group, status, blocked_by, replace_by]: &[String; HEADER.len()]| {
        let mut lines = vec![format!("{region}  {endpoint}"), format!("  {group}  {status}")];
        if name != "-" {
            lines.push(format!("  name: {name}"));
        }
        if blocked_by != "-" {
            lines.push(format!("  blocked by {blocked_by}"));
        }
        if replace_by != "-" {
            lines.push(format!("  replace by {replace_by}"));
        }
        lines.join("\n")
    };
    rows.iter().map(entry).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::records::GroupStatus;
    use crate::detach::ReasonCode;
    use crate::request::{EndpointId, RegionId, SecurityGroupId};

    fn reference(name: Option<&str>, blocked_by: Option<ReasonCode>) -> Reference {
        Reference {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-hp33b2e43fays7s8abcd").unwrap(),
            endpoint_name: name.map(str::to_owned),
            vpc_id: None,
            security_group_id: SecurityGroupId::parse("sg-hp3c8qj1tyct90ejabcd").unwrap(),
            status: GroupStatus::Attached,
            security_groups: Vec::new(),
            blocked_by,
            replacement_security_group_id: None,
        }
    }

    /// A last group that is replaced.
    fn replaced() -> Reference {
        let replacement_security_group_id = SecurityGroupId::parse("sg-hp3spare");
        Reference { replacement_security_group_id, ..reference(None, None) }
    }

    #[test]
    fn piped_table_has_a_line_for_each_reference_and_no_other_characters() {
        let all = [
            reference(Some("web"), None),
            reference(Some("数据库端点"), Some(ReasonCode::EndpointMustContainSecurityGroup)),
            reference(None, Some(ReasonCode::ProtectedEndpoint)),
        ];
        assert_eq!(
            references(&all, None),
            "\
REGION     ENDPOINT                 NAME        GROUP                    STATUS    BLOCKED BY
eu-west-1  ep-hp33b2e43fays7s8abcd  web         sg-hp3c8qj1tyct90ejabcd  Attached  -
eu-west-1  ep-hp33b2e43fays7s8abcd  数据库端点  sg-hp3c8qj1tyct90ejabcd  Attached  EndpointMustContainSecurityGroup
eu-west-1  ep-hp33b2e43fays7s8abcd  -           sg-hp3c8qj1tyct90ejabcd  Attached  ProtectedEndpoint
"
        );
        assert_eq!(references(&[], None), "");
    }

    #[test]
    fn replacement_has_a_column_of_its_own() {
        let all = [reference(Some("web"), None), replaced()];
        assert_eq!(
            references(&all, None),
            "\
REGION     ENDPOINT                 NAME  GROUP                    STATUS    BLOCKED BY  REPLACE BY
eu-west-1  ep-hp33b2e43fays7s8abcd  web   sg-hp3c8qj1tyct90ejabcd  Attached  -           -
eu-west-1  ep-hp33b2e43fays7s8abcd  -     sg-hp3c8qj1tyct90ejabcd  Attached  -           sg-hp3spare
"
        );
        assert_eq!(
            references(&all[1..], Some(80)),
            "\
eu-west-1  ep-hp33b2e43fays7s8abcd
  sg-hp3c8qj1tyct90ejabcd  Attached
  replace by sg-hp3spare
"
        );
    }

    #[test]
    fn long_name_wraps_where_the_table_fits_and_ids_do_not() {
        let name = "a name with many words that is far longer than any column of a table could be".to_owned();
        let text = references(&[reference(Some(&name), None)], Some(100));
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(
            text.contains("ep-hp33b2e43fays7s8abcd") && text.contains("sg-hp3c8qj1tyct90ejabcd"),
            "{text}"
        );
        assert!(text.lines().count() > 2, "{text}");
        let wide = references(&[reference(Some(&name), None)], Some(200));
        assert!(wide.contains(&name) && wide.lines().count() == 2, "{wide}");
    }

    #[test]
    fn wrapped_wide_name_stays_within_the_columns() {
        let name = "数据库".repeat(12);
        let text = references(&[reference(Some(&name), None)], Some(100));
        assert!(text.lines().all(|line| line.chars().map(columns).sum::<usize>() <= 100), "{text}");
        let shown: String = text.chars().filter(|c| columns(*c) == 2).collect();
        assert_eq!(shown, name);
    }

    fn columns(c: char) -> usize {
        if c.is_ascii() { 1 } else { 2 }
    }

    #[test]
    fn narrow_terminal_gets_a_list() {
        let all = [reference(Some("web"), Some(ReasonCode::ProtectedEndpoint)), reference(None, None)];
        assert_eq!(
            references(&all, Some(80)),
            "\
eu-west-1  ep-hp33b2e43fays7s8abcd
  sg-hp3c8qj1tyct90ejabcd  Attached
  name: web
  blocked by ProtectedEndpoint
eu-west-1  ep-hp33b2e43fays7s8abcd
  sg-hp3c8qj1tyct90ejabcd  Attached
"
        );
    }

    #[test]
    fn name_cannot_break_the_table_or_control_the_terminal() {
        let text = references(&[reference(Some("a\nb\u{1b}[31mc\t"), None)], None);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("ab[31mc ") && !text.contains('\u{1b}'), "{text:?}");
    }
}
