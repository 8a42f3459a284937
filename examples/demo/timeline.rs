//! The timeline: a line for every change of a request, and in between a sign of life.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use privatelink_detach::clock::Clock;

use crate::screen::{Look, Screen};

/// How often the rewritten line of a terminal moves.
const FRAME: Duration = Duration::from_millis(100);

/// How long a screen that is no terminal stays silent; with the frame on top it is never 3 s.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);

/// The frames of the sign of life.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// What the worker said about one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    Received {
        deliveries: u64,
        trigger: String,
    },
    Looked {
        /// The group's status, if the list has been read.
        group: Option<String>,
        /// The endpoint's, if this very look read it.
        endpoint: Option<String>,
    },
    Accepted,
    Fault {
        is_detach: bool,
        code: String,
        /// Until the next look; none if there is no further one.
        wait: Option<Duration>,
        /// How long the service asks to be left alone.
        hint: Option<Duration>,
    },
    HandedBack {
        why: String,
        visibility: Duration,
    },
    Ended {
        outcome: String,
        reason: Option<String>,
        took: Duration,
    },
    /// Whatever else it said.
    Said {
        text: String,
        is_warning: bool,
    },
}

/// What a request is about, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) request: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) group: Option<String>,
}

/// The widths of the columns that name a request.
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
    /// How many requests there are.
    requests: usize,
    board: Mutex<Board>,
}

#[derive(Debug)]
struct Board {
    rows: Vec<Row>,
    told_at: Instant,
    frame: usize,
}

#[derive(Debug)]
struct Row {
    subject: Subject,
    state: State,
    has_asked: bool,
    /// The group's and the endpoint's status as last shown.
    shown: (Option<String>, Option<String>),
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Answer,
    Effect,
    Fault(String),
    Delivery(Instant),
    Nothing,
}

impl Timeline {
    pub(crate) fn new(screen: Screen, requests: usize, widths: Widths) -> Self {
        let clock = Clock::start();
        let board = Mutex::new(Board { rows: Vec::new(), told_at: clock.now(), frame: 0 });
        Self { screen, clock, widths, requests, board }
    }

    /// The number under which a request's notes are taken: that of its earlier delivery, if it was handed back.
    pub(crate) fn open(&self, subject: Subject) -> usize {
        let mut board = self.board();
        let earlier = board
            .rows
            .iter()
            .position(|row| row.subject == subject && matches!(row.state, State::Delivery(_)));
        earlier.unwrap_or_else(|| {
            board.rows.push(Row { subject, state: State::Answer, has_asked: false, shown: (None, None) });
            board.rows.len() - 1
        })
    }

    /// Shows a note, unless it is nothing new.
    pub(crate) fn take(&self, number: usize, note: &Note) {
        let now = self.clock.now();
        let mut board = self.board();
        let Some(row) = board.rows.get_mut(number) else {
            return;
        };
        let Some((look, text)) = row.take(note, now) else {
            return;
        };
        let name = self.name(&row.subject);
        let name = self.screen.paint(Look::Request(number), &name);
        self.tell(&mut board, &format!("{name}  {}", self.screen.paint(look, &text)));
    }

    /// Shows something about the run as a whole.
    pub(crate) fn say(&self, text: &str) {
        self.tell(&mut self.board(), text);
    }

    /// Gives the sign of life, for as long as it is asked to.
    pub(crate) async fn keep_moving(&self) -> Infallible {
        loop {
            self.clock.sleep_until(self.clock.now() + FRAME).await;
            let mut board = self.board();
            board.frame += 1;
            if self.screen.is_terminal {
                self.redraw(&board);
            } else if self.clock.now() >= board.told_at + SILENCE_MAX {
                let progress = self.progress(&board);
                self.tell(&mut board, &progress);
            }
        }
    }

    /// Takes the sign of life away.
    pub(crate) fn end(&self) {
        self.screen.rewrite("");
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, board: &mut Board, text: &str) {
        board.told_at = self.clock.now();
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
        format!("{:5.1} s", elapsed.as_secs_f64())
    }

    /// Endpoint and group; of a request that has neither, its name.
    fn name(&self, subject: &Subject) -> String {
        let Widths { endpoint, group } = self.widths;
        match (&subject.endpoint, &subject.group) {
            (None, None) => {
                let width = endpoint + 2 + group;
                format!("{:width$}", shortened(&subject.request, width))
            }
            (on, off) => {
                let (on, off) = (on.as_deref().unwrap_or("-"), off.as_deref().unwrap_or("-"));
                format!("{on:endpoint$}  {off:group$}")
            }
        }
    }

    /// How far the requests are, and what those under way wait for.
    fn progress(&self, board: &Board) -> String {
        let now = self.clock.now();
        let ended = board.rows.iter().filter(|row| row.state == State::Nothing);
        let ended = ended.count();
        let mut waits: Vec<(String, usize)> = Vec::new();
        let mut count = |wait: String, how_many: usize| match waits.iter_mut().find(|(w, _)| *w == wait) {
            Some((_, known)) => *known += how_many,
            None => waits.push((wait, how_many)),
        };
        for row in &board.rows {
            match &row.state {
                State::Answer => count("for an answer".to_owned(), 1),
                State::Effect => count("for effect".to_owned(), 1),
                State::Fault(code) => count(format!("after {code}"), 1),
                State::Delivery(at) => {
                    let left = at.saturating_duration_since(now).as_secs_f64();
                    count(format!("for its next delivery in {left:.0} s"), 1);
                }
                State::Nothing => {}
            }
        }
        let unopened = self.requests.saturating_sub(board.rows.len());
        if unopened > 0 {
            count("for a turn".to_owned(), unopened);
        }
        let waits: Vec<String> = waits.iter().map(|(wait, n)| format!("{n} {wait}")).collect();
        let done = format!("{ended} of {} done", self.requests);
        if waits.is_empty() { done } else { format!("{done}, waiting: {}", waits.join(", ")) }
    }
}

impl Row {
    /// Takes a note; what is to be shown of it.
    fn take(&mut self, note: &Note, now: Instant) -> Option<(Look, String)> {
        let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
        let shown = match note {
            Note::Received { deliveries, trigger } => {
                self.state = State::Answer;
                let again = match deliveries {
                    0 | 1 => String::new(),
                    n => format!(", delivery {n}"),
                };
                let text = format!("request {} ({trigger}{again})", self.subject.request);
                (Look::Plain, text)
            }
            Note::Looked { group, endpoint } => return self.looked(group.as_deref(), endpoint.as_deref()),
            Note::Accepted => {
                (self.state, self.has_asked) = (State::Effect, true);
                (Look::Plain, "detach accepted; waiting for its effect".to_owned())
            }
            Note::Fault { is_detach, code, wait, hint } => {
                self.state = State::Fault(code.clone());
                let what = match (*is_detach, is_answer(code)) {
                    (true, true) => format!("detach answered {code}"),
                    (true, false) => format!("detach got no usable answer ({code}), and may be under way"),
                    (false, true) => format!("look answered {code}"),
                    (false, false) => format!("look got no usable answer ({code})"),
                };
                let next = match (hint, wait) {
                    (Some(hint), _) => format!("; asked to stay away for {}", seconds(hint)),
                    (None, Some(wait)) if wait.is_zero() => "; reading on".to_owned(),
                    (None, Some(wait)) => format!("; looking again in {}", seconds(wait)),
                    (None, None) => String::new(),
                };
                (Look::Plain, what + &next)
            }
            Note::HandedBack { why, visibility } => {
                self.state = State::Delivery(now + *visibility);
                let text = format!("{why}; next delivery in {}", seconds(visibility));
                (Look::Plain, text)
            }
            Note::Ended { outcome, reason, took } => {
                self.state = State::Nothing;
                let outcome = outcome.replace('_', " ").to_uppercase();
                match reason {
                    Some(code) => (Look::Bad, format!("{outcome}: {code}, after {}", seconds(took))),
                    None => (Look::Good, format!("{outcome}, after {}", seconds(took))),
                }
            }
            Note::Said { text, is_warning } => {
                let look = if *is_warning { Look::Bad } else { Look::Plain };
                (look, text.clone())
            }
        };
        Some(shown)
    }

    /// A look, if it shows something else than the one before. A list alone decides nothing at rest, so it is shown only
    /// if the group is on its way.
    fn looked(&mut self, group: Option<&str>, endpoint: Option<&str>) -> Option<(Look, String)> {
        let is_moving = matches!(group, Some("Attaching" | "Detaching"))
            || matches!(endpoint, Some("Creating" | "Pending" | "Deleting"));
        self.state = if is_moving || self.has_asked { State::Effect } else { State::Answer };
        let same_endpoint =
            endpoint.is_none() || self.shown.1.is_none() || self.shown.1.as_deref() == endpoint;
        if self.shown.0.as_deref() == group && same_endpoint {
            return None;
        }
        if endpoint.is_none() && !is_moving {
            return None;
        }
        let has_returned = self.shown.0.as_deref() == Some("Detaching") && group == Some("Attached");
        self.shown = (group.map(str::to_owned), endpoint.map(str::to_owned));
        let group = if has_returned { "Attached again" } else { group.unwrap_or("unknown") };
        let text = match endpoint {
            None => format!("looked: group {group}"),
            Some("Pending") if group == "absent" => {
                "looked: group absent, endpoint still Pending, so not proved yet".to_owned()
            }
            Some(endpoint) => format!("looked: group {group}, endpoint {endpoint}"),
        };
        Some((Look::Plain, text))
    }
}

/// Whether a fault's name is a code that the service answered, and not what the worker calls an answer that never came.
fn is_answer(code: &str) -> bool {
    !matches!(code, "Timeout" | "ConnectionLost" | "UnreadableAnswer") && !code.starts_with("Http")
}

/// The name, or its end if it is too long: generated ids differ at their ends.
pub(crate) fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let end = name.chars().skip(length + 1 - width.max(1));
    std::iter::once('…').chain(end).collect()
}
