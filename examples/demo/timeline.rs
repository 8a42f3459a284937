//! The timeline: a line for every change of a request, and in between a status line that shows the progress.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use privatelink_detach::clock::Clock;

use crate::screen::{Screen, Style, WIDTH, wrapped};

/// The width of the time since the start, with its unit.
const TIME_WIDTH: usize = 7;

/// The least width of the text of a change, if long ids leave less.
const TEXT_WIDTH_MIN: usize = 30;

/// How often the status line of a terminal changes.
const FRAME: Duration = Duration::from_millis(100);

/// The longest silence if standard output is no terminal. With one frame on top it is below 3 s.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);

/// The frames of the spinner.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// A space at which no line is broken.
const NO_BREAK: char = '\u{a0}';

/// A change of one request, as the worker reports it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Received {
        deliveries: u32,
        trigger: String,
    },
    Read {
        /// The group's status, if the list has been read.
        group: Option<String>,
        /// The endpoint's status, if this call read it.
        endpoint: Option<String>,
    },
    /// Alibaba Cloud accepted a Detach call.
    Accepted,
    CallFailed {
        is_detach: bool,
        code: String,
        /// Until the next read; none if there is no further one.
        wait: Option<Duration>,
        /// The server's hint.
        retry_after: Option<Duration>,
    },
    /// The message returned to the queue.
    Deferred {
        why: String,
        visibility: Duration,
    },
    Finished {
        outcome: String,
        reason: Option<String>,
        duration_ms: u64,
    },
    Other(String),
}

/// The ids of a request, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) request: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) group: Option<String>,
}

/// The widths of the columns of ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    pub(crate) endpoint: usize,
    pub(crate) group: usize,
}

/// The timeline of one run.
#[derive(Debug)]
pub(crate) struct Timeline {
    screen: Screen,
    clock: Clock,
    widths: Widths,
    /// The number of requests at the start of the run. A sweep may add others.
    requests: usize,
    board: Mutex<Board>,
}

#[derive(Debug)]
struct Board {
    rows: Vec<Row>,
    printed_at: Instant,
    frame: usize,
}

#[derive(Debug)]
struct Row {
    subject: Subject,
    state: State,
    has_detached: bool,
    /// The statuses of group and endpoint as last printed.
    shown: (Option<String>, Option<String>),
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Response,
    /// Polls until a change is complete.
    Polling,
    BackingOff(String),
    /// In the queue, not visible before this moment.
    Deferred(Instant),
    Finished,
}

impl Timeline {
    pub(crate) fn new(screen: Screen, requests: usize, widths: Widths) -> Self {
        let clock = Clock::start();
        let board = Mutex::new(Board { rows: Vec::new(), printed_at: clock.now(), frame: 0 });
        Self { screen, clock, widths, requests, board }
    }

    /// The number under which the changes of a request are recorded: that of its earlier delivery, if it returned to the
    /// queue.
    pub(crate) fn open(&self, subject: Subject) -> usize {
        let mut board = self.board();
        let earlier = board
            .rows
            .iter()
            .position(|row| row.subject == subject && matches!(row.state, State::Deferred(_)));
        earlier.unwrap_or_else(|| {
            let row = Row { subject, state: State::Response, has_detached: false, shown: (None, None) };
            board.rows.push(row);
            board.rows.len() - 1
        })
    }

    /// Records a change, and prints it if it is news.
    pub(crate) fn record(&self, number: usize, change: &Change) {
        let now = self.clock.now();
        let mut board = self.board();
        let Some(row) = board.rows.get_mut(number) else {
            return;
        };
        let Some((style, text)) = row.record(change, now) else {
            return;
        };
        let name = self.name(&row.subject);
        // Time, name and the spaces after them.
        let indent = TIME_WIDTH + 2 + name.chars().count() + 2;
        let words: Vec<&str> = text.split(' ').collect();
        let lines = wrapped(&words, " ", WIDTH.saturating_sub(indent).max(TEXT_WIDTH_MIN));
        let lines: Vec<String> =
            lines.iter().map(|line| self.screen.paint(style, &line.replace(NO_BREAK, " "))).collect();
        let name = self.screen.paint(Style::Request(number), &name);
        self.print(&mut board, &format!("{name}  {}", lines.join(&format!("\n{:indent$}", ""))));
    }

    /// Prints something about the run as a whole.
    pub(crate) fn say(&self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let indent = TIME_WIDTH + 2;
        let lines = wrapped(&words, " ", WIDTH - indent);
        self.print(&mut self.board(), &lines.join(&format!("\n{:indent$}", "")));
    }

    /// Shows the progress until it is dropped.
    pub(crate) async fn show_progress(&self) -> Infallible {
        loop {
            self.clock.sleep_until(self.clock.now() + FRAME).await;
            let mut board = self.board();
            board.frame += 1;
            if self.screen.is_terminal {
                self.redraw(&board);
            } else if self.clock.now() >= board.printed_at + SILENCE_MAX {
                let progress = self.progress(&board);
                self.print(&mut board, &progress);
            }
        }
    }

    /// Removes the status line.
    pub(crate) fn end(&self) {
        self.screen.rewrite("");
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, board: &mut Board, text: &str) {
        board.printed_at = self.clock.now();
        self.screen.rewrite("");
        self.screen.line(&format!("{}  {text}", self.elapsed()));
        self.redraw(board);
    }

    fn redraw(&self, board: &Board) {
        let spinner = SPINNER[board.frame % SPINNER.len()];
        self.screen.rewrite(&format!("{}  {spinner} {}", self.elapsed(), self.progress(board)));
    }

    fn elapsed(&self) -> String {
        let elapsed = self.clock.now() - self.clock.started();
        format!("{:width$.1} s", elapsed.as_secs_f64(), width = TIME_WIDTH - 2)
    }

    /// Endpoint and group; of a request without both, its request id.
    fn name(&self, subject: &Subject) -> String {
        let Widths { endpoint, group } = self.widths;
        match (&subject.endpoint, &subject.group) {
            (None, None) => format!("{:width$}", subject.request, width = endpoint + 2 + group),
            (endpoint_id, group_id) => {
                let (endpoint_id, group_id) =
                    (endpoint_id.as_deref().unwrap_or("-"), group_id.as_deref().unwrap_or("-"));
                format!("{endpoint_id:endpoint$}  {group_id:group$}")
            }
        }
    }

    /// How many requests are finished, and what the others wait for.
    fn progress(&self, board: &Board) -> String {
        let now = self.clock.now();
        let finished = board.rows.iter().filter(|row| row.state == State::Finished).count();
        let mut waits: Vec<(String, usize)> = Vec::new();
        let mut count = |wait: String, how_many: usize| match waits.iter_mut().find(|(w, _)| *w == wait) {
            Some((_, known)) => *known += how_many,
            None => waits.push((wait, how_many)),
        };
        for row in &board.rows {
            match &row.state {
                State::Response => count("calling".to_owned(), 1),
                State::Polling => count("polling".to_owned(), 1),
                State::BackingOff(code) => count(format!("backing off after {code}"), 1),
                State::Deferred(at) => {
                    let left = at.saturating_duration_since(now).as_secs_f64();
                    count(format!("delivered again in {left:.0} s"), 1);
                }
                State::Finished => {}
            }
        }
        let queued = self.requests.saturating_sub(board.rows.len());
        if queued > 0 {
            count("queued".to_owned(), queued);
        }
        let waits: Vec<String> = waits.iter().map(|(wait, n)| format!("{n} {wait}")).collect();
        let done = format!("{finished} of {} done", self.requests.max(board.rows.len()));
        if waits.is_empty() { done } else { format!("{done}; {}", waits.join(", ")) }
    }
}

impl Row {
    /// Records a change. Returns what to print of it.
    fn record(&mut self, change: &Change, now: Instant) -> Option<(Style, String)> {
        let seconds = |time: &Duration| format!("{:.1}{NO_BREAK}s", time.as_secs_f64());
        let shown = match change {
            Change::Received { deliveries, trigger } => {
                self.state = State::Response;
                let again = match deliveries {
                    0 | 1 => String::new(),
                    n => format!(", delivery {n}"),
                };
                // Without an endpoint and a group, the line begins with the id of the request.
                let name = match (&self.subject.endpoint, &self.subject.group) {
                    (None, None) => "received".to_owned(),
                    _ => format!("request {}", self.subject.request),
                };
                (Style::Plain, format!("{name} ({trigger}{again})"))
            }
            Change::Read { group, endpoint } => return self.read(group.as_deref(), endpoint.as_deref()),
            Change::Accepted => {
                (self.state, self.has_detached) = (State::Polling, true);
                (Style::Plain, "detach accepted; polling".to_owned())
            }
            Change::CallFailed { is_detach, code, wait, retry_after } => {
                self.state = State::BackingOff(code.clone());
                let call = if *is_detach { "detach" } else { "read" };
                let result = match (is_response(code), is_detach) {
                    (true, _) => format!("{call}: {code}"),
                    (false, true) => format!("{call}: no usable response ({code}), may be under way"),
                    (false, false) => format!("{call}: no usable response ({code})"),
                };
                let next = match (retry_after, wait) {
                    (Some(hint), _) => format!("; region throttled, waiting {}", seconds(hint)),
                    (None, Some(wait)) if wait.is_zero() => "; reads again".to_owned(),
                    (None, Some(wait)) => format!("; reads again in {}", seconds(wait)),
                    (None, None) => String::new(),
                };
                (Style::Plain, result + &next)
            }
            Change::Deferred { why, visibility } => {
                self.state = State::Deferred(now + *visibility);
                (Style::Plain, format!("{why}; delivered again in {}", seconds(visibility)))
            }
            Change::Finished { outcome, reason, duration_ms } => {
                let duration = &Duration::from_millis(*duration_ms);
                self.state = State::Finished;
                let outcome = outcome.replace('_', " ").to_uppercase();
                match reason {
                    Some(code) => (Style::Bad, format!("{outcome}: {code}, after {}", seconds(duration))),
                    None => (Style::Good, format!("{outcome}, after {}", seconds(duration))),
                }
            }
            Change::Other(text) => (Style::Plain, text.clone()),
        };
        Some(shown)
    }

    /// A read, if it differs from the one before. The list alone decides nothing about a stable endpoint, so a read of it
    /// is printed only while the group or the endpoint is changing.
    fn read(&mut self, group: Option<&str>, endpoint: Option<&str>) -> Option<(Style, String)> {
        let is_changing = matches!(group, Some("Attaching" | "Detaching"))
            || matches!(endpoint, Some("Creating" | "Pending" | "Deleting"));
        self.state = if is_changing || self.has_detached { State::Polling } else { State::Response };
        let same_endpoint =
            endpoint.is_none() || self.shown.1.is_none() || self.shown.1.as_deref() == endpoint;
        if self.shown.0.as_deref() == group && same_endpoint {
            return None;
        }
        if endpoint.is_none() && !is_changing {
            return None;
        }
        let is_attached_again = self.shown.0.as_deref() == Some("Detaching") && group == Some("Attached");
        self.shown = (group.map(str::to_owned), endpoint.map(str::to_owned));
        let group = if is_attached_again { "Attached again" } else { group.unwrap_or("unknown") };
        let text = match endpoint {
            None => format!("read: group {group}"),
            Some("Pending") if group == "absent" => {
                "read: group absent, endpoint Pending: not confirmed yet".to_owned()
            }
            Some(endpoint) => format!("read: group {group}, endpoint {endpoint}"),
        };
        Some((Style::Plain, text))
    }
}

/// Whether the code is one of Alibaba Cloud's, and not the worker's name for a missing or unreadable response.
fn is_response(code: &str) -> bool {
    !matches!(code, "Timeout" | "ConnectionLost" | "UnreadableAnswer") && !code.starts_with("Http")
}
