//! The results of the checks, their text and the exit status that follows from them.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::credentials::Unusable;
use crate::cli::exit::Exit;

/// The checks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Check {
    #[serde(rename = "credentials")]
    Credentials,
    #[serde(rename = "account")]
    Account,
    #[serde(rename = "clock")]
    Clock,
    #[serde(rename = "connection")]
    Connection,
    ListVpcEndpoints,
    ListVpcEndpointSecurityGroups,
    DescribeSecurityGroups,
    DetachSecurityGroupFromVpcEndpoint,
    /// Only where replacements of last groups are configured.
    AttachSecurityGroupToVpcEndpoint,
}

impl Check {
    /// Those of every report.
    const ALL: [Self; 8] = [
        Self::Credentials,
        Self::Account,
        Self::Clock,
        Self::Connection,
        Self::ListVpcEndpoints,
        Self::ListVpcEndpointSecurityGroups,
        Self::DescribeSecurityGroups,
        Self::DetachSecurityGroupFromVpcEndpoint,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Account => "account",
            Self::Clock => "clock",
            Self::Connection => "connection",
            Self::ListVpcEndpoints => "ListVpcEndpoints",
            Self::ListVpcEndpointSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::DetachSecurityGroupFromVpcEndpoint => "DetachSecurityGroupFromVpcEndpoint",
            Self::AttachSecurityGroupToVpcEndpoint => "AttachSecurityGroupToVpcEndpoint",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    Failed,
    NotChecked,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Failed => AnsiColor::Red.on_default().bold(),
            Self::NotChecked => AnsiColor::Yellow.on_default(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    name: Check,
    status: Status,
    detail: String,
    advice: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// The results so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    checks: Vec<Line>,
}

impl Report {
    pub(super) fn ok(&mut self, name: Check, detail: impl Into<String>) {
        self.add(name, Status::Ok, detail.into(), None, Exit::Success);
    }

    /// A check whose failure fails the command with this status.
    pub(super) fn failed(
        &mut self,
        name: Check,
        exit: Exit,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(name, Status::Failed, detail.into(), Some(advice.into()), exit);
    }

    /// A check that could not be made, or whose result is not known.
    pub(super) fn not_checked(&mut self, name: Check, detail: impl Into<String>, advice: Option<&str>) {
        self.add(name, Status::NotChecked, detail.into(), advice.map(str::to_owned), Exit::Success);
    }

    /// The report if there are no credentials: nothing else can be checked.
    pub(super) fn no_credentials(&mut self, Unusable { problem, advice }: Unusable) {
        self.failed(Check::Credentials, Exit::Credentials, problem, advice);
        self.rest_not_checked("it needs credentials");
    }

    /// Completes the report: why the checks after the last one were not made.
    pub(super) fn rest_not_checked(&mut self, reason: &str) {
        let done =
            self.checks.last().and_then(|last| Check::ALL.iter().position(|check| *check == last.name));
        for check in Check::ALL.into_iter().skip(done.map_or(0, |done| done + 1)) {
            self.not_checked(check, reason, None);
        }
    }

    fn add(&mut self, name: Check, status: Status, detail: String, advice: Option<String>, exit: Exit) {
        self.checks.push(Line { name, status, detail, advice, exit });
    }

    /// The status of the command.
    pub(super) fn exit(&self) -> Exit {
        Exit::of_all(self.checks.iter().map(|line| line.exit))
    }

    /// Writes one line for each check, or one JSON object, to standard output.
    pub(super) fn print(&self, is_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        if is_json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        let width = Check::ALL.iter().map(|check| check.name().len()).max().unwrap_or_default();
        for Line { name, status, detail, advice, .. } in &self.checks {
            let (name, text, style) = (name.name(), status.text(), status.style());
            write!(out, "{style}{text:<11}{style:#}  {name:<width$}  {detail}")?;
            match advice {
                Some(advice) => writeln!(out, "; {advice}")?,
                None => writeln!(out)?,
            }
        }
        out.flush()
    }
}
