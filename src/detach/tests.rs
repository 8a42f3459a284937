//! The rules, checked against every response that the API could send, and one scenario for each rule.

mod replacement;

use std::collections::HashSet;

use super::*;
use crate::alibaba::records::{BusinessStatus, ConnectionStatus, EndpointStatus, EndpointType};
use crate::backoff::Backoff;
use crate::request::{self, Rules, VpcId};
use crate::transport::NoResponse;

const OURS: &str = "sg-ours";

/// The group that replaces a last one, where replacements are configured.
const SPARE: &str = "sg-spare";

/// A list of groups as it was sent.
type List = Vec<(String, GroupStatus)>;

/// Checks the rules of a detach on one path, independently of the state of [`Detach`].
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
struct Checker {
    detach: Detach,
    dry_run: bool,
    now: Instant,
    deadline: Instant,
    /// The list that is being read, then the complete one.
    listed: Option<List>,
    /// The latest complete list, and the record that was read after it.
    read: Option<(List, Option<Endpoint>)>,
    /// The number of pages of the list, and how many entries it has by the service's own count.
    pages: u32,
    total: Option<u64>,
    /// The latest complete list, and since when every complete list has been the same.
    same_since: Option<(List, Instant)>,
    /// The latest complete list of records.
    records: Option<Vec<Endpoint>>,
    empty_list_for: Duration,
    /// Whether the latest complete list counts.
    is_settled: bool,
    tokens_spent: HashSet<String>,
    token_of_detach: TokenUse,
    token_of_attach: TokenUse,
    written_at: Option<Instant>,
    has_replacement: bool,
    /// Since the latest attach, accepted or not: the reads of a stable endpoint that show the replacement attached.
    replacement_reads: Option<u32>,
    /// Whether any read showed the replacement, or an attach was accepted or, in a dry run, passed.
    has_seen_replacement: bool,
    steps: u32,
}

/// How the tokens of one write were used.
#[derive(Clone, Default)]
struct TokenUse {
    /// The token whose outcome is unknown.
    kept: Option<String>,
    last: Option<String>,
}

fn group(id: &str, status: GroupStatus) -> SecurityGroup {
    SecurityGroup { id: id.to_owned(), status }
}

#[expect(clippy::unnecessary_wraps, reason = "its type is that of the errors beside it")]
fn groups(groups: &[SecurityGroup]) -> Result<Response, CallError> {
    Ok(Response::SecurityGroups(Page { items: groups.to_vec(), next_token: None, total_count: None }))
}

fn endpoint(status: &str) -> Endpoint {
    Endpoint {
        id: "ep-a".to_owned(),
        status: Some(EndpointStatus::read(status.to_owned())),
        vpc_id: Some("vpc-a".to_owned()),
        ..Endpoint::default()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "its type is that of the errors beside it")]
fn endpoints(endpoints: &[Endpoint]) -> Result<Response, CallError> {
    Ok(Response::Endpoints(Page { items: endpoints.to_vec(), next_token: None, total_count: None }))
}

/// A list with more endpoints than the service counts.
#[expect(clippy::unnecessary_wraps, reason = "its type is that of the errors beside it")]
fn odd_endpoints(endpoints: &[Endpoint]) -> Result<Response, CallError> {
    Ok(Response::Endpoints(Page { items: endpoints.to_vec(), next_token: None, total_count: Some(0) }))
}

fn error(action: Action, status: u16, code: &str) -> Result<Response, CallError> {
    let body = format!(r#"{{"Code":"{code}","Message":"m","RequestId":"R"}}"#);
    let hint = code.contains("Throttling").then_some(Duration::from_secs(7));
    Err(CallError::read(action, status, body.as_bytes(), hint, str::to_owned, None).0)
}

fn timeout(action: Action) -> Result<Response, CallError> {
    Err(CallError::no_response(action, NoResponse::Timeout))
}

/// One code of every kind.
const CODES: [(&str, u16); 18] = [
    ("EndpointLocked", 400),
    ("EndpointConnectionOperationDenied", 400),
    ("EndpointOperationDenied", 400),
    ("SystemBusy", 400),
    ("InternalError", 500),
    ("Throttling.User", 400),
    ("IdempotenceProcessing", 400),
    ("SignatureNonceUsed", 400),
    ("InvalidTimeStamp.Expired", 400),
    ("InvalidSecurityToken.Expired", 403),
    ("SignatureDoesNotMatch", 400),
    ("SecurityGroupNotFound", 400),
    ("EndpointNotFound", 400),
    ("IdempotentParameterMismatch", 400),
    ("DryRunOperation", 400),
    ("NoPermission", 400),
    ("EndpointServiceDeleted", 400),
    ("OperationConflict", 400),
];

/// The codes that a write or the read after it treats differently from one another.
const DISTINCT_CODES: [(&str, u16); 8] = [
    ("EndpointLocked", 400),
    ("EndpointConnectionOperationDenied", 400),
    ("EndpointOperationDenied", 400),
    ("SecurityGroupNotFound", 400),
    ("EndpointNotFound", 400),
    ("IdempotentParameterMismatch", 400),
    ("DryRunOperation", 400),
    ("EndpointMustContainSecurityGroup", 400),
];

/// Every response that matters to a call. With a replacement there are more lists, and fewer codes: each path is longer.
fn responses(action: Action, has_replacement: bool) -> Vec<Result<Response, CallError>> {
    use GroupStatus::{Attached, Attaching, Detaching};
    let sent: &[_] = if has_replacement { &DISTINCT_CODES } else { &CODES };
    let coded = sent.iter().map(|(code, status)| error(action, *status, code));
    let mut responses: Vec<_> = coded.chain([timeout(action)]).collect();
    match action {
        Action::Detach => responses.push(Ok(Response::Accepted(Write::Detach))),
        Action::Attach => responses.push(Ok(Response::Accepted(Write::Attach))),
        Action::ListSecurityGroups => {
            let other = group("sg-other", Attached);
            responses.extend([
                groups(&[]),
                groups(std::slice::from_ref(&other)),
                groups(&[group(OURS, Attached)]),
                groups(&[group(OURS, Attached), other.clone()]),
                groups(&[group(OURS, Detaching), other.clone()]),
                groups(&[group(OURS, Attaching), other.clone()]),
                groups(&[group(OURS, Attached), group("sg-other", Detaching)]),
                Ok(Response::SecurityGroups(Page {
                    items: vec![other],
                    next_token: None,
                    total_count: Some(2),
                })),
                Ok(Response::SecurityGroups(Page {
                    items: vec![],
                    next_token: Some("1".into()),
                    total_count: None,
                })),
                Ok(Response::SecurityGroups(Page {
                    items: vec![group("sg-one", Attached), group("sg-two", Attached)],
                    next_token: None,
                    total_count: Some(1),
                })),
            ]);
            if has_replacement {
                let spare = |status| groups(&[group(OURS, Attached), group(SPARE, status)]);
                responses.extend([spare(Attaching), spare(Attached)]);
            }
        }
        Action::ListEndpoints => {
            let states = ["Active", "Pending", "Creating", "Deleting", "Resting"];
            responses.extend(states.map(|status| endpoints(&[endpoint(status)])));
            responses.extend([
                endpoints(&[]),
                endpoints(&[Endpoint { id: "ep-b".into(), ..endpoint("Active") }]),
                endpoints(&[Endpoint { status: None, ..endpoint("") }]),
                endpoints(&[Endpoint { region_id: Some("eu-west-9".into()), ..endpoint("Active") }]),
                endpoints(&[Endpoint {
                    business_status: Some(BusinessStatus::FinancialLocked),
                    ..endpoint("Active")
                }]),
                endpoints(&[Endpoint {
                    connection_status: Some(ConnectionStatus::ServiceDeleted),
                    ..endpoint("Active")
                }]),
                Ok(Response::Endpoints(Page { items: vec![], next_token: None, total_count: Some(1) })),
                odd_endpoints(&[endpoint("Active")]),
            ]);
            if has_replacement {
                responses.push(endpoints(&[without_vpc()]));
            }
        }
    }
    responses
}

/// A record that does not name the endpoint's VPC.
fn without_vpc() -> Endpoint {
    Endpoint { vpc_id: None, ..endpoint("Active") }
}

fn request(dry_run: bool, client_token: Option<&str>) -> DetachRequest {
    let body = serde_json::json!({
        "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": OURS, "dry_run": dry_run,
        "client_token": client_token,
    });
    request::parse(&body.to_string(), &Rules::default()).result.unwrap()
}

/// The replacement of the endpoint's VPC, if there is one.
fn replacements(has_replacement: bool) -> Replacements {
    let mut replacements = Replacements::default();
    if has_replacement {
        replacements.insert(VpcId::parse("vpc-a").unwrap(), SecurityGroupId::parse(SPARE).unwrap());
    }
    replacements
}

fn start(
    dry_run: bool,
    client_token: Option<&str>,
    deadline: Duration,
    limits: Limits,
    seed: u64,
) -> (Checker, Step) {
    start_with(false, dry_run, client_token, deadline, limits, seed)
}

#[expect(clippy::disallowed_methods, reason = "any moment can be the zero of a synthetic time line")]
fn start_with(
    has_replacement: bool,
    dry_run: bool,
    client_token: Option<&str>,
    deadline: Duration,
    limits: Limits,
    seed: u64,
) -> (Checker, Step) {
    let now = Instant::now();
    let request = request(dry_run, client_token);
    let (token_prefix, jitter) = (u128::from(seed), fastrand::Rng::with_seed(seed));
    let replacements = replacements(has_replacement);
    let mut detach = Detach::new(&request, &replacements, true, now + deadline, limits, token_prefix, jitter);
    let step = detach.start(now);
    let checker = Checker {
        detach,
        dry_run,
        now,
        deadline: now + deadline,
        listed: None,
        read: None,
        pages: 0,
        total: None,
        same_since: None,
        records: None,
        empty_list_for: limits.empty_list_for,
        is_settled: false,
        tokens_spent: HashSet::new(),
        token_of_detach: TokenUse::default(),
        token_of_attach: TokenUse::default(),
        written_at: None,
        has_replacement,
        replacement_reads: None,
        has_seen_replacement: false,
        steps: 0,
    };
    (checker, step)
}

impl Checker {
    /// Checks a step against the rules; the call, or `None` at the end.
    fn take(&mut self, step: &Step) -> Option<Call> {
        self.steps += 1;
        assert!(self.steps < 2000, "every path ends");
        let (after, call) = match step {
            Step::Finish(outcome) => {
                self.check_end(outcome);
                return None;
            }
            Step::Call { after, call } => (*after, call),
        };
        assert!(after.is_zero() || self.now + after <= self.deadline, "no step begins after the deadline");
        self.now += after;
        match call {
            Call::ListSecurityGroups { next_token } => {
                if next_token.is_none() {
                    (self.listed, self.read, self.pages) = (None, None, 0);
                }
            }
            Call::ListEndpoints { .. } => {}
            Call::Detach { client_token, dry_run } => {
                let list = self.check_write(Write::Detach, client_token.as_str(), *dry_run);
                assert!(list.iter().any(|(id, _)| id != OURS) || list.is_empty(), "never the last group");
                let is_other = |(id, status): &(String, GroupStatus)| {
                    id != OURS && id != SPARE && *status == GroupStatus::Attached
                };
                if !dry_run && !list.iter().any(is_other) {
                    assert_ne!(self.replacement_reads, Some(1), "the replacement is read once more");
                }
            }
            Call::Attach { security_group_id, client_token, dry_run } => {
                assert!(
                    self.has_replacement && security_group_id.as_str() == SPARE,
                    "only what is configured"
                );
                let list = self.check_write(Write::Attach, client_token.as_str(), *dry_run);
                assert!(
                    matches!(&list[..], [(id, _)] if id == OURS),
                    "only beside the requested group alone"
                );
            }
        }
        Some(call.clone())
    }

    /// Checks the rules of every write; returns the list that was read before it.
    fn check_write(&mut self, write: Write, token: &str, dry_run: bool) -> List {
        assert_eq!(dry_run, self.dry_run);
        assert!(self.now < self.deadline, "no write at the deadline or after it");
        let (list, record) = self.read.take().expect("a read precedes every write");
        let record = record.expect("the endpoint exists");
        assert!(self.is_settled, "a list that may be incomplete decides nothing");
        if !dry_run {
            assert!(list.contains(&(OURS.to_owned(), GroupStatus::Attached)), "only while it is attached");
            assert_eq!(record.status, Some(EndpointStatus::Active));
        }
        if let Some(before) = self.written_at.replace(self.now) {
            assert!(self.now - before >= Duration::from_millis(500), "writes are at least 0.5 s apart");
        }
        assert!(!self.tokens_spent.contains(token), "a definite response ends the token's use");
        let tokens = self.tokens_of(write);
        if let Some(kept) = &tokens.kept {
            assert_eq!(kept, token, "an unknown outcome keeps the token");
        }
        tokens.last = Some(token.to_owned());
        assert_ne!(self.token_of_detach.last, self.token_of_attach.last, "each write has its own token");
        list
    }

    fn tokens_of(&mut self, write: Write) -> &mut TokenUse {
        match write {
            Write::Detach => &mut self.token_of_detach,
            Write::Attach => &mut self.token_of_attach,
        }
    }

    fn check_end(&self, outcome: &Outcome) {
        let is_proved = || {
            let (list, record) = self.read.as_ref().expect("a complete read");
            let status = record.as_ref().expect("a record").status.clone().expect("a status");
            self.is_settled
                && !list.iter().any(|(id, _)| id == OURS)
                && matches!(status, EndpointStatus::Active | EndpointStatus::Deleting)
        };
        match outcome {
            Outcome::Detached | Outcome::AlreadyDetached => {
                assert!(is_proved(), "no detach is reported without proof");
                assert!(self.detach.evidence().confirmed_at.is_some());
            }
            Outcome::EndpointGone => {
                let (list, record) = self.read.as_ref().expect("a read");
                assert!(list.is_empty() && record.is_none());
            }
            Outcome::DryRunPassed => assert!(self.dry_run),
            Outcome::Refused(_) => {}
            Outcome::Unconfirmed(TimeExpired::Deadline) => {
                assert!(self.now >= self.deadline, "the whole time until the deadline is used");
            }
            other => panic!("not an outcome of a detach: {other:?}"),
        }
        let evidence = self.detach.evidence();
        if !matches!(outcome, Outcome::Detached | Outcome::AlreadyDetached) {
            assert_eq!(evidence.confirmed_at, None);
        }
        let named = evidence.replacement_security_group_id.as_ref().map(SecurityGroupId::as_str);
        assert_eq!(
            named,
            self.has_seen_replacement.then_some(SPARE),
            "what was or would be attached, or found"
        );
    }

    fn receive(&mut self, result: Result<Response, CallError>) -> Step {
        // As `CallResult::read` has it.
        let result = match result {
            Err(error) => match error.action.write() {
                Some(write) if self.dry_run && error.kind == ErrorKind::DryRunOperation => {
                    Ok(Response::DryRunPassed(write))
                }
                _ => Err(error),
            },
            Ok(response) => Ok(response),
        };
        if self.dry_run && matches!(result, Ok(Response::DryRunPassed(Write::Attach))) {
            self.has_seen_replacement = true;
        }
        match &result {
            Ok(Response::SecurityGroups(page)) => {
                let list = self.listed.get_or_insert_default();
                list.extend(page.items.iter().map(|group| (group.id.clone(), group.status)));
                self.pages += 1;
                self.total = page.total_count;
                if page.next_token.is_none() {
                    self.settle();
                }
            }
            Ok(Response::Endpoints(page)) if page.next_token.is_none() => {
                let listed = page.items.len() as u64;
                let total = page.total_count.unwrap_or(listed);
                if total > listed {
                    return self.continue_with(result);
                }
                let before = self.records.replace(page.items.clone());
                if total < listed && before.as_ref() != Some(&page.items) {
                    return self.continue_with(result);
                }
                let ours = page.items.iter().find(|endpoint| endpoint.id == "ep-a").cloned();
                if ours.as_ref().is_some_and(|ours| ours.region_id.is_some()) {
                    return self.continue_with(result);
                }
                self.read = self.listed.clone().map(|list| (list, ours));
                self.look_for_replacement();
            }
            Err(error) if error.kind == ErrorKind::EndpointNotFound => match error.action {
                Action::ListSecurityGroups => self.listed = Some(Vec::new()),
                Action::ListEndpoints => self.read = self.listed.clone().map(|list| (list, None)),
                Action::Detach => self.definite(Write::Detach),
                Action::Attach => self.definite(Write::Attach),
            },
            Ok(Response::Accepted(write) | Response::DryRunPassed(write)) => self.definite(*write),
            Err(error) => match error.action.write() {
                Some(write) if error.keeps_token => {
                    let tokens = self.tokens_of(write);
                    tokens.kept.clone_from(&tokens.last);
                }
                Some(write) => self.definite(write),
                None => {}
            },
            Ok(Response::Endpoints(_)) => {}
        }
        match &result {
            Ok(Response::Accepted(Write::Attach)) => {
                (self.replacement_reads, self.has_seen_replacement) = (Some(0), true);
            }
            // It may have been carried out.
            Err(error) if error.action == Action::Attach => self.replacement_reads = Some(0),
            Ok(Response::Accepted(Write::Detach)) => self.replacement_reads = None,
            _ => {}
        }
        self.continue_with(result)
    }

    /// Looks for the replacement in what was just read.
    fn look_for_replacement(&mut self) {
        let Some((list, Some(record))) = &self.read else { return };
        let listed = list.iter().find(|(id, _)| self.has_replacement && id == SPARE);
        let is_attached = listed.is_some_and(|(_, status)| *status == GroupStatus::Attached);
        self.has_seen_replacement |= listed.is_some() && record.vpc_id.is_some();
        if let Some(reads) = &mut self.replacement_reads {
            let is_confirmed =
                is_attached && self.is_settled && record.status == Some(EndpointStatus::Active);
            *reads = if is_confirmed { *reads + 1 } else { *reads };
        }
    }

    fn continue_with(&mut self, result: Result<Response, CallError>) -> Step {
        self.detach.next(CallResult { api_request_id: Some("R".to_owned()), result }, self.now)
    }

    /// A list is complete.
    fn settle(&mut self) {
        let list = self.listed.clone().expect("a list");
        if self.total.is_some_and(|total| total > list.len() as u64) {
            return;
        }
        let since = self.same_since.take().filter(|(same, _)| *same == list).map(|(_, since)| since);
        let is_odd = self.pages > 1 || self.total.is_some_and(|total| total < list.len() as u64);
        self.is_settled = match since {
            Some(since) if list.is_empty() => self.now - since >= self.empty_list_for,
            Some(_) => true,
            None => !list.is_empty() && !is_odd,
        };
        self.same_since = Some((list, since.unwrap_or(self.now)));
    }

    fn definite(&mut self, write: Write) {
        let tokens = self.tokens_of(write);
        let spent = tokens.last.take();
        tokens.kept = None;
        self.tokens_spent.extend(spent);
    }
}

/// Follows every response from here to the end of each path; returns the number of ends.
fn walk(mut checker: Checker, step: &Step, outcomes: &mut HashSet<&'static str>) -> u64 {
    let Some(call) = checker.take(step) else {
        if let Step::Finish(outcome) = step {
            outcomes.insert(outcome.name());
        }
        return 1;
    };
    let mut ends = 0;
    if call.action().write().is_some() {
        // The region is throttled until the read is outdated.
        let mut late = checker.clone();
        late.now += Duration::from_secs(4);
        let step = late.detach.postponed(call.clone(), late.now);
        ends += walk(late, &step, outcomes);
    }
    for response in responses(call.action(), checker.has_replacement) {
        let mut next = checker.clone();
        let step = next.receive(response);
        ends += walk(next, &step, outcomes);
    }
    ends
}

#[test]
fn every_response_at_every_step_keeps_the_rules() {
    // Back-off as long as the deadline: a read, a write and the last read, with every response to each.
    let four = Duration::from_secs(4);
    let limits = Limits { poll_min: four * 2, poll_max: four * 2, ..coarse() };
    let mut outcomes = HashSet::new();
    for (has_replacement, dry_run, client_token) in [
        (false, false, None),
        (false, false, Some("mine")),
        (false, true, None),
        (true, false, Some("mine")),
        (true, true, None),
    ] {
        let (checker, step) = start_with(has_replacement, dry_run, client_token, four, limits, 1);
        let ends = walk(checker, &step, &mut outcomes);
        assert!(ends > 10_000, "{ends} paths");
    }
    let expected =
        ["detached", "already_detached", "dry_run_passed", "endpoint_gone", "refused", "unconfirmed"];
    assert_eq!(outcomes, expected.into());
}

/// Waits of four seconds, so that few of them fit before a deadline.
fn coarse() -> Limits {
    let four = Duration::from_secs(4);
    Limits {
        poll_spacing: four,
        poll_min: four,
        poll_max: four,
        second_read_min: four,
        backoff: Backoff { min: four, base: four, max: four },
        unlisted_backoff_min: four,
        empty_list_for: four,
        no_effect_after: four,
    }
}

/// Follows every response after these. One more wait fits: a read with every response, perhaps a write, and the last read.
fn walk_after(
    beginning: &[Result<Response, CallError>],
    has_replacement: bool,
    outcomes: &mut HashSet<&'static str>,
) -> u64 {
    let begin = |deadline| {
        let (mut checker, mut step) = start_with(has_replacement, false, None, deadline, coarse(), 1);
        for response in beginning {
            checker.take(&step).unwrap();
            step = checker.receive(response.clone());
        }
        (checker, step)
    };
    let hour = Duration::from_hours(1);
    let (checker, _) = begin(hour);
    let elapsed = hour.saturating_sub(checker.deadline - checker.now);
    let (checker, step) = begin(elapsed + Duration::from_secs(6));
    walk(checker, &step, outcomes)
}

#[test]
fn every_response_in_the_middle_of_a_detach_keeps_the_rules() {
    let attached = || groups(&pair(GroupStatus::Attached));
    let stable = || endpoints(&[endpoint("Active")]);
    let refused = |code| error(Action::Detach, 400, code);
    let accepted = || Ok(Response::Accepted(Write::Detach));
    let mut outcomes = HashSet::new();
    let beginnings = [
        vec![attached(), stable(), accepted()],
        vec![attached(), stable(), accepted(), groups(&pair(GroupStatus::Detaching))],
        vec![attached(), stable(), accepted(), groups(&pair(GroupStatus::Detaching)), attached(), stable()],
        vec![attached(), stable(), timeout(Action::Detach)],
        vec![attached(), stable(), refused("SecurityGroupNotFound")],
        vec![
            attached(),
            stable(),
            refused("EndpointOperationDenied"),
            attached(),
            stable(),
            refused("EndpointLocked"),
        ],
    ];
    for beginning in beginnings {
        let ends = walk_after(&beginning, false, &mut outcomes);
        assert!(ends > 100, "{ends} paths");
    }
    assert!(
        ["detached", "endpoint_gone", "refused", "unconfirmed"].iter().all(|name| outcomes.contains(name))
    );
}

#[test]
fn long_random_histories_keep_the_rules() {
    let mut outcomes = HashSet::new();
    for seed in 0..5_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let token = random.bool().then_some("mine");
        let deadline = Duration::from_secs(random.u64(30..300));
        let (has_replacement, dry_run) = (random.bool(), random.u8(..) < 32);
        let (mut checker, mut step) =
            start_with(has_replacement, dry_run, token, deadline, Limits::default(), seed);
        checker.detach.set_lanes(random.u32(1..=200));
        while let Some(call) = checker.take(&step) {
            checker.now += Duration::from_millis(random.u64(1..400));
            let responses = responses(call.action(), has_replacement);
            // Refusals would end nearly every history at once, so they are drawn ten times less often.
            let draw = |random: &mut fastrand::Rng| responses[random.usize(..responses.len())].clone();
            let is_final = |response: &Result<Response, CallError>| matches!(response, Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused));
            let mut response = draw(&mut random);
            while is_final(&response) && random.u8(..) > 25 {
                response = draw(&mut random);
            }
            step = checker.receive(response);
        }
        if let Step::Finish(outcome) = &step {
            outcomes.insert(outcome.name());
        }
    }
    assert!(outcomes.len() == 6, "{outcomes:?}");
}

/// A scenario: responses in turn, each to the call of its action, and the outcome.
struct Scenario {
    checker: Checker,
    step: Step,
}

impl Scenario {
    fn new(dry_run: bool) -> Self {
        Self::with(dry_run, None, Duration::from_hours(1))
    }

    fn with_replacement(dry_run: bool, client_token: Option<&str>) -> Self {
        let hour = Duration::from_hours(1);
        let (checker, step) = start_with(true, dry_run, client_token, hour, Limits::default(), 1);
        Self { checker, step }
    }

    fn with(dry_run: bool, client_token: Option<&str>, deadline: Duration) -> Self {
        let (checker, step) = start(dry_run, client_token, deadline, Limits::default(), 1);
        Self { checker, step }
    }

    /// Responds to the next call, which must be of the response's action; returns the wait before the call.
    fn respond(&mut self, response: Result<Response, CallError>) -> Duration {
        let before = self.checker.now;
        let call = self.checker.take(&self.step).expect("a call");
        let expected = match &response {
            Ok(response) => response.action(),
            Err(error) => error.action,
        };
        assert_eq!(call.action(), expected);
        let waited = self.checker.now - before;
        self.step = self.checker.receive(response);
        waited
    }

    fn read(&mut self, list: &[SecurityGroup], record: Endpoint) -> Duration {
        let waited = self.respond(groups(list));
        self.respond(endpoints(&[record]));
        waited
    }

    fn token(&self) -> String {
        match &self.step {
            Step::Call {
                call: Call::Detach { client_token, .. } | Call::Attach { client_token, .. },
                ..
            } => client_token.to_string(),
            other => panic!("not a write: {other:?}"),
        }
    }

    fn end(mut self) -> Outcome {
        assert_eq!(self.checker.take(&self.step), None, "the detach has ended");
        match self.step {
            Step::Finish(outcome) => outcome,
            Step::Call { .. } => unreachable!("checked above"),
        }
    }
}

fn pair(status: GroupStatus) -> [SecurityGroup; 2] {
    [group(OURS, status), group("sg-other", GroupStatus::Attached)]
}

fn other() -> [SecurityGroup; 1] {
    [group("sg-other", GroupStatus::Attached)]
}

fn code_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(refusal) => refusal.code.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn detach_without_errors_makes_no_extra_call() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    let first_poll = scenario.respond(groups(&pair(GroupStatus::Detaching)));
    assert!((0.5..=0.575).contains(&first_poll.as_secs_f64()), "{first_poll:?}");
    scenario.read(&other(), endpoint("Active"));
    let evidence = scenario.checker.detach.evidence().clone();
    assert_eq!(scenario.end(), Outcome::Detached);
    assert_eq!((evidence.detach_calls, evidence.read_calls), (1, 5));
    assert_eq!(evidence.api_request_ids().count(), 3);
}

#[test]
fn absent_group_costs_two_reads_and_no_write() {
    let mut scenario = Scenario::new(false);
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.checker.detach.evidence().detach_calls, 0);
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn absent_while_pending_is_not_detached() {
    let mut scenario = Scenario::new(false);
    scenario.read(&other(), endpoint("Pending"));
    scenario.read(&other(), endpoint("Pending"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn detach_by_another_caller_is_awaited_and_not_repeated() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Detaching), endpoint("Pending"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.checker.detach.evidence().detach_calls, 0);
    assert_eq!(scenario.end(), Outcome::Detached);
}

#[test]
fn last_group_is_refused_before_the_call_and_a_detaching_one_is_awaited() {
    let mut scenario = Scenario::new(false);
    scenario.read(
        &[group(OURS, GroupStatus::Attached), group("sg-b", GroupStatus::Detaching)],
        endpoint("Active"),
    );
    scenario.read(&[group(OURS, GroupStatus::Attached)], endpoint("Active"));
    assert_eq!(scenario.checker.detach.evidence().detach_calls, 0);
    assert_eq!(code_of(scenario.end()), "EndpointMustContainSecurityGroup");
}

#[test]
fn detach_without_effect_is_repeated_after_ten_seconds_with_a_new_token() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let (first, requested) = (scenario.token(), scenario.checker.now);
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    while !matches!(scenario.step, Step::Call { call: Call::Detach { .. }, .. }) {
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    let waited = scenario.checker.now - requested;
    assert!((10.0..14.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_ne!(scenario.token(), first);
}

#[test]
fn detach_that_began_and_failed_is_repeated_after_two_reads() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let first = scenario.token();
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(scenario.token(), first);
}

#[test]
fn lost_response_is_followed_by_a_read_and_the_same_token() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let first = scenario.token();
    scenario.respond(timeout(Action::Detach));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(scenario.token(), first);
    scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(scenario.token(), first, "a definite response ends its use");
}

#[test]
fn senders_token_is_used_first_and_its_mismatch_is_a_refusal() {
    let mut scenario = Scenario::with(false, Some("mine"), Duration::from_hours(1));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(scenario.token(), "mine");
    scenario.respond(error(Action::Detach, 400, "IdempotentParameterMismatch"));
    assert_eq!(code_of(scenario.end()), "IdempotentParameterMismatch");

    let mut scenario = Scenario::with(false, Some("mine"), Duration::from_hours(1));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(scenario.token(), "mine");
    scenario.respond(error(Action::Detach, 400, "IdempotentParameterMismatch"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.token();
}

#[test]
fn lock_is_retried_with_growing_back_off_and_overdue_payment_is_refused() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
        longest = longest.max(scenario.read(&pair(GroupStatus::Attached), endpoint("Active")));
    }
    assert!(longest > Duration::from_secs(10), "{longest:?}");
    scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
    let locked = Endpoint { business_status: Some(BusinessStatus::FinancialLocked), ..endpoint("Active") };
    scenario.read(&pair(GroupStatus::Attached), locked);
    assert_eq!(code_of(scenario.end()), "FinancialLocked");
}

#[test]
fn throttled_call_waits_as_long_as_the_hint() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "Throttling.User"));
    let waited = scenario.respond(timeout(Action::ListSecurityGroups));
    assert!(waited >= Duration::from_secs(7), "{waited:?}");
}

#[test]
fn connecting_endpoint_is_awaited_and_a_deleted_connection_is_refused() {
    for status in [ConnectionStatus::ServiceDeleted, ConnectionStatus::Deleting] {
        let mut scenario = Scenario::new(false);
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, "EndpointConnectionOperationDenied"));
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, "EndpointConnectionOperationDenied"));
        let deleted = Endpoint { connection_status: Some(status), ..endpoint("Active") };
        scenario.read(&pair(GroupStatus::Attached), deleted);
        assert_eq!(code_of(scenario.end()), "EndpointConnectionOperationDenied");
    }
}

#[test]
fn wrong_state_is_refused_the_second_time_the_endpoint_reads_as_stable() {
    for code in ["EndpointOperationDenied", "IncorrectStatus.VpcEndpoint"] {
        let mut scenario = Scenario::new(false);
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, code));
        scenario.read(&pair(GroupStatus::Attached), endpoint("Pending"));
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, code));
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, code));
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        assert_eq!(code_of(scenario.end()), code);
    }
}

#[test]
fn group_not_found_is_detached_if_absent_and_refused_if_listed() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "SecurityGroupNotFound"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::Detached);

    let mut dry = Scenario::new(true);
    dry.read(&pair(GroupStatus::Attached), endpoint("Active"));
    dry.respond(error(Action::Detach, 400, "SecurityGroupNotFound"));
    dry.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(code_of(dry.end()), "SecurityGroupNotFound");

    let mut real = Scenario::new(false);
    real.read(&pair(GroupStatus::Attached), endpoint("Active"));
    real.respond(error(Action::Detach, 400, "SecurityGroupNotFound"));
    let refused_at = real.checker.now;
    while matches!(real.step, Step::Call { .. }) {
        real.read(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    let waited = real.checker.now - refused_at;
    assert!((10.0..14.0).contains(&waited.as_secs_f64()), "the list has time to follow: {waited:?}");
    assert_eq!(code_of(real.end()), "SecurityGroupNotFound");
}

#[test]
fn group_not_found_after_an_accepted_detach_waits_for_the_list() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Pending"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "SecurityGroupNotFound"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::Detached);
}

#[test]
fn missing_endpoint_is_never_an_absent_group() {
    let mut never_seen = Scenario::new(false);
    for _ in 0..2 {
        never_seen.respond(groups(&[]));
        never_seen.respond(endpoints(&[]));
    }
    assert_eq!(code_of(never_seen.end()), "EndpointNotFound");

    let mut by_code = Scenario::new(false);
    by_code.respond(error(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    by_code.respond(error(Action::ListEndpoints, 400, "EndpointNotFound"));
    assert_eq!(code_of(by_code.end()), "EndpointNotFound");

    let mut seen_before = Scenario::new(false);
    seen_before.read(&pair(GroupStatus::Attached), endpoint("Active"));
    seen_before.respond(error(Action::Detach, 400, "EndpointNotFound"));
    seen_before.respond(error(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    seen_before.respond(endpoints(&[]));
    assert_eq!(seen_before.end(), Outcome::EndpointGone);
}

#[test]
fn contradicting_reads_are_repeated() {
    let mut scenario = Scenario::new(false);
    scenario.respond(groups(&other()));
    scenario.respond(endpoints(&[]));
    scenario.respond(groups(&other()));
    scenario.respond(error(Action::ListEndpoints, 400, "EndpointNotFound"));
    scenario.respond(error(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    scenario.respond(endpoints(&[endpoint("Active")]));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "EndpointNotFound"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.token();
    let retries = &scenario.checker.detach.evidence().retries;
    assert_eq!((retries["EndpointNotFound"], retries["UnreadableAnswer"]), (3, 1));
}

#[test]
fn dry_run_polls_nothing_and_does_not_wait_for_a_pending_endpoint() {
    let mut scenario = Scenario::new(true);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Pending"));
    scenario.respond(error(Action::Detach, 400, "DryRunOperation"));
    assert_eq!(scenario.end(), Outcome::DryRunPassed);

    let mut absent = Scenario::new(true);
    absent.read(&other(), endpoint("Active"));
    assert_eq!(absent.end(), Outcome::AlreadyDetached);

    let mut ignored = Scenario::new(true);
    ignored.read(&pair(GroupStatus::Attached), endpoint("Active"));
    ignored.respond(Ok(Response::Accepted(Write::Detach)));
    assert_eq!(code_of(ignored.end()), "DryRunIgnored");
}

#[test]
fn dry_run_reports_a_detach_by_another_caller_as_already_detached() {
    let mut scenario = Scenario::new(true);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn creating_endpoint_proves_nothing() {
    let mut scenario = Scenario::new(false);
    scenario.read(&[], endpoint("Creating"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.token();
}

#[test]
fn postponed_write_reads_first() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let call = scenario.checker.take(&scenario.step).unwrap();
    scenario.step = scenario.checker.detach.postponed(call, scenario.checker.now);
    scenario.read(&[group(OURS, GroupStatus::Attached)], endpoint("Active"));
    assert_eq!(code_of(scenario.end()), "EndpointMustContainSecurityGroup");
}

#[test]
fn request_past_its_deadline_gets_one_read_and_no_write() {
    let mut attached = Scenario::with(false, None, Duration::ZERO);
    attached.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(attached.end(), Outcome::Unconfirmed(TimeExpired::Deadline));

    let mut gone = Scenario::with(false, None, Duration::ZERO);
    gone.read(&other(), endpoint("Active"));
    assert_eq!(gone.end(), Outcome::AlreadyDetached);

    let mut unreadable = Scenario::with(false, None, Duration::ZERO);
    unreadable.respond(timeout(Action::ListSecurityGroups));
    assert_eq!(unreadable.end(), Outcome::Unconfirmed(TimeExpired::Deadline));
}

#[test]
fn all_pages_are_read_before_a_conclusion() {
    let page = |item, next: Option<&str>| {
        let next_token = next.map(str::to_owned);
        Ok(Response::SecurityGroups(Page { items: vec![item], next_token, total_count: Some(2) }))
    };
    let mut scenario = Scenario::new(false);
    for _ in 0..2 {
        scenario.respond(page(group("sg-other", GroupStatus::Attached), Some("2")));
        scenario.respond(page(group(OURS, GroupStatus::Attached), None));
        scenario.respond(endpoints(&[endpoint("Active")]));
    }
    scenario.token();

    let mut broken = Scenario::new(false);
    broken.respond(page(group("sg-other", GroupStatus::Attached), Some("2")));
    broken.respond(timeout(Action::ListSecurityGroups));
    let waited = broken.respond(page(group("sg-other", GroupStatus::Attached), Some("2")));
    assert!(waited >= Duration::from_millis(500), "a failed page restarts the whole list, after a back-off");
    let codes =
        ["EndpointNotFound", "InvalidParameter", "NoPermission", "OperationConflict", "OperationConflict"];
    for code in codes {
        broken.respond(error(Action::ListSecurityGroups, 400, code));
        broken.respond(page(group("sg-other", GroupStatus::Attached), Some("2")));
    }
}

/// A list with fewer entries counted than listed.
#[expect(clippy::unnecessary_wraps, reason = "its type is that of the errors beside it")]
fn odd(listed: &[SecurityGroup]) -> Result<Response, CallError> {
    let total_count = Some(listed.len() as u64 - 1);
    Ok(Response::SecurityGroups(Page { items: listed.to_vec(), next_token: None, total_count }))
}

#[test]
fn list_with_more_entries_than_counted_must_repeat() {
    let two = [group("sg-one", GroupStatus::Attached), group("sg-two", GroupStatus::Attached)];
    let mut scenario = Scenario::new(false);
    scenario.respond(odd(&two));
    scenario.respond(endpoints(&[endpoint("Active")]));
    scenario.respond(odd(&two));
    scenario.respond(endpoints(&[endpoint("Active")]));
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);

    let mut changing = Scenario::new(false);
    for name in ["sg-three", "sg-four", "sg-five"] {
        changing.respond(odd(&[two[0].clone(), group(name, GroupStatus::Attached)]));
        changing.respond(endpoints(&[endpoint("Active")]));
    }
    changing.read(&pair(GroupStatus::Attached), endpoint("Active"));
    changing.token();
}

#[test]
fn record_in_a_list_with_more_entries_than_counted_must_repeat() {
    let mut scenario = Scenario::new(false);
    for status in ["Pending", "Active", "Active"] {
        scenario.respond(groups(&other()));
        scenario.respond(odd_endpoints(&[endpoint(status)]));
    }
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);

    let mut plain = Scenario::new(false);
    plain.respond(groups(&other()));
    plain.respond(odd_endpoints(&[endpoint("Active")]));
    plain.read(&pair(GroupStatus::Attached), endpoint("Active"));
    plain.token();

    // No record in a list that may be incomplete: the endpoint is not gone.
    let mut missing = Scenario::new(false);
    missing.read(&pair(GroupStatus::Attached), endpoint("Pending"));
    missing.respond(error(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    let page = Page { items: vec![], next_token: Some("1".to_owned()), total_count: None };
    missing.respond(Ok(Response::Endpoints(page)));
    missing.respond(endpoints(&[]));
    missing.read(&pair(GroupStatus::Attached), endpoint("Active"));
    missing.token();
}

#[test]
fn empty_list_must_repeat_for_ten_seconds() {
    for dry_run in [false, true] {
        let mut scenario = Scenario::new(dry_run);
        scenario.read(&[], endpoint("Active"));
        let waited = scenario.read(&[], endpoint("Active"));
        assert!((10.0..11.0).contains(&waited.as_secs_f64()), "{waited:?}");
        let evidence = scenario.checker.detach.evidence().clone();
        assert_eq!((evidence.detach_calls, evidence.retries.len()), (0, 0));
        assert_eq!(scenario.end(), Outcome::AlreadyDetached);
    }
    // The list lagged.
    let mut lagging = Scenario::new(false);
    lagging.read(&[], endpoint("Active"));
    lagging.read(&pair(GroupStatus::Attached), endpoint("Active"));
    lagging.respond(Ok(Response::Accepted(Write::Detach)));
    lagging.read(&[], endpoint("Active"));
    lagging.read(&other(), endpoint("Active"));
    assert_eq!(lagging.end(), Outcome::Detached);
}

#[test]
fn empty_list_of_a_gateway_load_balancer_is_believed_at_once() {
    let mut scenario = Scenario::new(false);
    scenario.respond(groups(&[]));
    scenario.checker.is_settled = true;
    let endpoint_type = Some(EndpointType::GatewayLoadBalancer);
    scenario.respond(endpoints(&[Endpoint { endpoint_type, ..endpoint("Active") }]));
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn text_that_is_no_id_does_not_reach_the_evidence() {
    let mut scenario = Scenario::new(false);
    let groups = [group("LTAI5tSecret", GroupStatus::Attached), group("sg-other", GroupStatus::Attached)];
    scenario.read(&groups, endpoint("Active"));
    let after = scenario.checker.detach.evidence().security_groups_after.clone().unwrap();
    assert_eq!(after, ["(unreadable)", "sg-other"]);
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn id_in_other_letter_case_is_refused_and_named() {
    for (listed, dry_run) in [("sg-OURS", false), ("SG-ours", true)] {
        let groups = [group(listed, GroupStatus::Attached), group("sg-other", GroupStatus::Attached)];
        let mut scenario = Scenario::new(dry_run);
        scenario.read(&groups, endpoint("Active"));
        let Outcome::Refused(refusal) = scenario.end() else { panic!("not refused") };
        assert_eq!(refusal.code, ReasonCode::SecurityGroupNotAttached);
        assert_eq!(refusal.lookalike.as_deref(), Some(listed));
    }
}

#[test]
fn id_in_other_letter_case_does_not_matter_beside_the_group_itself() {
    let lookalike = || group("sg-OURS", GroupStatus::Attached);
    let mut scenario = Scenario::new(false);
    scenario.read(&[group(OURS, GroupStatus::Attached), lookalike()], endpoint("Active"));
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    scenario.read(&[lookalike()], endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::Detached);
}

#[test]
fn expected_group_that_is_absent_is_refused_in_the_first_delivery() {
    for (is_first_delivery, is_seen, outcome) in
        [(true, false, "refused"), (false, false, "already_detached"), (true, true, "detached")]
    {
        let (mut checker, _) = start(false, None, Duration::from_hours(1), Limits::default(), 1);
        let request = DetachRequest { expect_attached: true, ..request(false, None) };
        let deadline = checker.deadline;
        let jitter = fastrand::Rng::with_seed(1);
        let (limits, none) = (Limits::default(), Replacements::default());
        checker.detach = Detach::new(&request, &none, is_first_delivery, deadline, limits, 1, jitter);
        let step = checker.detach.start(checker.now);
        let mut scenario = Scenario { checker, step };
        if is_seen {
            scenario.read(&pair(GroupStatus::Detaching), endpoint("Pending"));
        }
        scenario.read(&other(), endpoint("Active"));
        assert_eq!(scenario.checker.detach.evidence().security_group_seen, Some(is_seen));
        assert_eq!(scenario.end().name(), outcome);
    }
}

#[test]
fn unknown_status_of_the_endpoint_proves_and_permits_nothing() {
    for status in ["pending", "Modifying", "ACTIVE", "Resting"] {
        let mut absent = Scenario::new(false);
        absent.read(&other(), endpoint(status));
        absent.read(&other(), endpoint(status));
        absent.read(&other(), endpoint("Active"));
        assert_eq!(absent.end(), Outcome::AlreadyDetached, "{status}");

        let mut attached = Scenario::with(false, None, Duration::from_secs(30));
        while !matches!(attached.step, Step::Finish(_)) {
            attached.read(&pair(GroupStatus::Attached), endpoint(status));
        }
        assert_eq!(attached.checker.detach.evidence().detach_calls, 0, "{status}");
        assert_eq!(attached.end(), Outcome::Unconfirmed(TimeExpired::Deadline), "{status}");
    }
}

#[test]
fn record_of_another_region_is_inconclusive() {
    let region_id = |name: &str| Some(name.to_owned());
    let mut scenario = Scenario::new(false);
    scenario.read(&other(), Endpoint { region_id: region_id("us-east-1"), ..endpoint("Active") });
    let waited = scenario.respond(groups(&other()));
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    scenario.respond(endpoints(&[Endpoint { region_id: region_id("eu-west-1"), ..endpoint("Active") }]));
    assert_eq!(scenario.checker.detach.evidence().retries["UnreadableAnswer"], 1);
}

#[test]
fn call_that_was_not_sent_is_not_counted() {
    let mut scenario = Scenario::new(false);
    scenario.respond(Err(CallError::not_sent(Action::ListSecurityGroups)));
    assert_eq!(scenario.checker.detach.evidence().read_calls, 0);
    scenario.respond(timeout(Action::ListSecurityGroups));
    assert_eq!(scenario.checker.detach.evidence().read_calls, 1);
}

#[test]
fn last_read_of_a_changing_group_reads_the_record_too() {
    let mut scenario = Scenario::with(false, None, Duration::from_secs(1));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.read(&pair(GroupStatus::Detaching), endpoint("Pending"));
    let status = scenario.checker.detach.evidence().endpoint_status.clone();
    assert_eq!(status, Some(EndpointStatus::Pending), "the event says what the last read showed");
    assert_eq!(scenario.end(), Outcome::Unconfirmed(TimeExpired::Deadline));
}

#[test]
fn only_the_read_at_the_deadline_is_the_last() {
    assert!(!Scenario::new(false).checker.detach.is_last_read());
    assert!(Scenario::with(false, None, Duration::ZERO).checker.detach.is_last_read());
}

#[test]
fn read_that_ends_after_the_deadline_is_followed_by_no_write() {
    let mut scenario = Scenario::with(false, None, Duration::from_secs(30));
    scenario.respond(groups(&pair(GroupStatus::Attached)));
    scenario.checker.take(&scenario.step);
    scenario.checker.now += Duration::from_secs(31);
    scenario.step = scenario.checker.receive(endpoints(&[endpoint("Active")]));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::Unconfirmed(TimeExpired::Deadline));
}

#[test]
fn group_that_was_detaching_and_returned_is_not_awaited() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let (first, requested) = (scenario.token(), scenario.checker.now);
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(scenario.token(), first);
    let waited = scenario.checker.now - requested;
    assert!(waited < Duration::from_secs(8), "sooner than without any sign of the detach: {waited:?}");
}

#[test]
fn record_is_always_read_after_an_error() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "EndpointLocked"));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.respond(endpoints(&[endpoint("Pending")]));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
    scenario.respond(groups(&pair(GroupStatus::Detaching)));
}

#[test]
fn refusal_names_the_call_that_was_refused() {
    let refusal = |scenario: Scenario| match scenario.end() {
        Outcome::Refused(refusal) => (refusal.action, refusal.ground),
        other => panic!("not refused: {other:?}"),
    };
    let mut missing = Scenario::new(false);
    missing.respond(error(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    missing.respond(endpoints(&[]));
    assert_eq!(refusal(missing), (Some(Action::ListEndpoints), Ground::Rule));

    let mut overdue = Scenario::new(false);
    overdue.read(&pair(GroupStatus::Attached), endpoint("Active"));
    overdue.respond(error(Action::Detach, 400, "EndpointLocked"));
    let locked = Endpoint { business_status: Some(BusinessStatus::FinancialLocked), ..endpoint("Active") };
    overdue.read(&pair(GroupStatus::Attached), locked);
    assert_eq!(refusal(overdue), (Some(Action::Detach), Ground::Rule));

    let mut ignored = Scenario::new(true);
    ignored.read(&pair(GroupStatus::Attached), endpoint("Active"));
    ignored.respond(Ok(Response::Accepted(Write::Detach)));
    assert_eq!(refusal(ignored), (Some(Action::Detach), Ground::Rule));

    for (code, status, ground) in [
        ("EndpointServiceDeleted", 400, Ground::Rule),
        ("NoPermission", 400, Ground::Denial),
        ("UserDisable", 403, Ground::Denial),
    ] {
        let mut refused = Scenario::new(false);
        refused.read(&pair(GroupStatus::Attached), endpoint("Active"));
        refused.respond(error(Action::Detach, status, code));
        assert_eq!(refusal(refused), (Some(Action::Detach), ground), "{code}");
    }
}

fn ground_of(scenario: Scenario) -> Ground {
    match scenario.end() {
        Outcome::Refused(refusal) => refusal.ground,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn unlisted_code_to_a_detach_is_a_refusal_only_after_a_read_and_another_detach() {
    for dry_run in [false, true] {
        let mut scenario = Scenario::new(dry_run);
        scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        scenario.respond(error(Action::Detach, 400, "OperationConflict"));
        let waited = scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
        assert!(waited >= Duration::from_secs(5), "{waited:?}");
        scenario.respond(error(Action::Detach, 404, "AnotherUnlistedCode"));
        assert_eq!(ground_of(scenario), Ground::UnlistedCode);
    }
    let mut passing = Scenario::new(false);
    passing.read(&pair(GroupStatus::Attached), endpoint("Active"));
    passing.respond(error(Action::Detach, 400, "OperationConflict"));
    passing.read(&other(), endpoint("Active"));
    assert_eq!(passing.end(), Outcome::Detached, "the read decides");
}

#[test]
fn unlisted_code_to_a_read_is_a_refusal_only_when_it_repeats() {
    for action in [Action::ListSecurityGroups, Action::ListEndpoints] {
        let fail = |scenario: &mut Scenario| {
            let waited = match action {
                Action::ListEndpoints => scenario.respond(groups(&pair(GroupStatus::Attached))),
                _ => Duration::ZERO,
            };
            waited + scenario.respond(error(action, 400, "OperationConflict"))
        };
        let mut repeated = Scenario::new(false);
        fail(&mut repeated);
        let waited = fail(&mut repeated);
        assert!(waited >= Duration::from_secs(5), "{waited:?}");
        assert_eq!(ground_of(repeated), Ground::UnlistedCode, "{action:?}");

        let mut passing = Scenario::new(false);
        fail(&mut passing);
        passing.read(&pair(GroupStatus::Attaching), endpoint("Active"));
        fail(&mut passing);
        passing.read(&other(), endpoint("Active"));
        assert_eq!(passing.end(), Outcome::Detached, "a complete read ends the row");
    }
}

#[test]
fn dry_run_is_checked_while_the_group_is_detaching() {
    let mut scenario = Scenario::new(true);
    scenario.read(&other(), endpoint("Pending"));
    scenario.respond(error(Action::Detach, 400, "SecurityGroupNotFound"));
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::AlreadyDetached);
}

#[test]
fn dry_run_code_to_a_real_detach_is_retried() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(error(Action::Detach, 400, "DryRunOperation"));
    scenario.read(&pair(GroupStatus::Attached), endpoint("Active"));
    scenario.respond(Ok(Response::Accepted(Write::Detach)));
    assert_eq!(scenario.checker.detach.evidence().detach_accepted, 1);
    scenario.read(&other(), endpoint("Active"));
    assert_eq!(scenario.end(), Outcome::Detached);
}

#[test]
fn waits_after_errors_grow() {
    let mut failing = Scenario::new(false);
    let waits: Vec<_> = (0..20).map(|_| failing.respond(timeout(Action::ListSecurityGroups))).collect();
    assert!(waits.iter().max() > Some(&Duration::from_secs(10)), "{waits:?}");
}

#[test]
fn each_poll_follows_the_lanes_at_that_moment() {
    let mut scenario = Scenario::new(false);
    scenario.read(&pair(GroupStatus::Attaching), endpoint("Active"));
    for (lanes, interval) in [(100, 2.6..=3.0), (20, 0.8..=0.92), (1, 0.5..=0.575), (20, 0.8..=0.92)] {
        scenario.checker.detach.set_lanes(lanes);
        // Its wait was chosen before.
        scenario.respond(groups(&pair(GroupStatus::Attaching)));
        let wait = scenario.respond(groups(&pair(GroupStatus::Attaching)));
        assert!(interval.contains(&wait.as_secs_f64()), "{lanes} lanes: {wait:?}");
    }
}

#[test]
fn read_that_confirms_another_one_comes_a_second_later() {
    let mut returned = Scenario::new(false);
    returned.read(&pair(GroupStatus::Attached), endpoint("Active"));
    returned.respond(Ok(Response::Accepted(Write::Detach)));
    returned.respond(groups(&pair(GroupStatus::Detaching)));
    returned.read(&pair(GroupStatus::Attached), endpoint("Active"));
    let wait = returned.read(&pair(GroupStatus::Attached), endpoint("Active"));
    assert!(wait >= Duration::from_secs(1), "{wait:?}");

    let odd = [group("sg-one", GroupStatus::Attached), group("sg-two", GroupStatus::Attached)];
    let odd =
        || Ok(Response::SecurityGroups(Page { items: odd.to_vec(), next_token: None, total_count: Some(1) }));
    let mut repeated = Scenario::new(false);
    repeated.respond(odd());
    repeated.respond(endpoints(&[endpoint("Active")]));
    let wait = repeated.respond(odd());
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
}
