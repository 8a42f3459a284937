//! The rules, held against every answer the API could give, and one story for each rule.

use std::collections::HashSet;

use super::*;
use crate::alibaba::error::Unanswered;
use crate::request::Rules;

const OURS: &str = "sg-ours";

/// A list of groups as it was served.
type List = Vec<(String, GroupStatus)>;

/// What the laws of a detach are checked against, path by path, independently of its state.
#[derive(Clone)]
struct Witness {
    detach: Detach,
    dry_run: bool,
    now: Instant,
    deadline: Instant,
    /// The list under way, then the complete one.
    listed: Option<List>,
    /// The latest complete list, and the record that was read after it.
    look: Option<(List, Option<Endpoint>)>,
    tokens_spent: HashSet<String>,
    token_kept: Option<String>,
    token_last: Option<String>,
    detached_at: Option<Instant>,
    steps: u32,
}

fn group(id: &str, status: GroupStatus) -> SecurityGroup {
    SecurityGroup { id: id.to_owned(), status }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside faults")]
fn groups(groups: &[SecurityGroup]) -> Result<Answer, Fault> {
    Ok(Answer::SecurityGroups(Page { items: groups.to_vec(), next_token: None, total_count: None }))
}

fn endpoint(status: &str) -> Endpoint {
    Endpoint { id: "ep-a".to_owned(), status: Some(status.to_owned()), ..Endpoint::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside faults")]
fn endpoints(endpoints: &[Endpoint]) -> Result<Answer, Fault> {
    Ok(Answer::Endpoints(Page { items: endpoints.to_vec(), next_token: None, total_count: None }))
}

fn fault(action: Action, status: u16, code: &str) -> Result<Answer, Fault> {
    let body = format!(r#"{{"Code":"{code}","Message":"m","RequestId":"R"}}"#);
    let hint = code.contains("Throttling").then_some(Duration::from_secs(7));
    Err(Fault::answered(action, status, body.as_bytes(), hint, str::to_owned).0)
}

fn timeout(action: Action) -> Result<Answer, Fault> {
    Err(Fault::unanswered(action, Unanswered::Timeout))
}

/// One code of every kind.
const CODES: [(&str, u16); 17] = [
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
];

/// Every answer that matters to a call.
fn answers(action: Action) -> Vec<Result<Answer, Fault>> {
    use GroupStatus::{Attached, Attaching, Detaching};
    let coded = CODES.iter().map(|(code, status)| fault(action, *status, code));
    let mut answers: Vec<_> = coded.chain([timeout(action)]).collect();
    match action {
        Action::Detach => answers.push(Ok(Answer::Accepted)),
        Action::ListSecurityGroups => {
            let other = group("sg-other", Attached);
            answers.extend([
                groups(&[]),
                groups(std::slice::from_ref(&other)),
                groups(&[group(OURS, Attached)]),
                groups(&[group(OURS, Attached), other.clone()]),
                groups(&[group(OURS, Detaching), other.clone()]),
                groups(&[group(OURS, Attaching), other.clone()]),
                groups(&[group(OURS, Attached), group("sg-other", Detaching)]),
                Ok(Answer::SecurityGroups(Page {
                    items: vec![other],
                    next_token: None,
                    total_count: Some(2),
                })),
                Ok(Answer::SecurityGroups(Page {
                    items: vec![],
                    next_token: Some("1".into()),
                    total_count: None,
                })),
            ]);
        }
        Action::ListEndpoints => {
            let states = ["Active", "Pending", "Creating", "Deleting", "Resting"];
            answers.extend(states.map(|status| endpoints(&[endpoint(status)])));
            answers.extend([
                endpoints(&[]),
                endpoints(&[Endpoint { id: "ep-b".into(), ..endpoint("Active") }]),
                endpoints(&[Endpoint { status: None, ..endpoint("") }]),
                endpoints(&[Endpoint {
                    business_status: Some("FinancialLocked".into()),
                    ..endpoint("Active")
                }]),
                endpoints(&[Endpoint {
                    connection_status: Some("ServiceDeleted".into()),
                    ..endpoint("Active")
                }]),
                Ok(Answer::Endpoints(Page { items: vec![], next_token: None, total_count: Some(1) })),
            ]);
        }
    }
    answers
}

fn request(dry_run: bool, client_token: Option<&str>) -> DetachRequest {
    let body = serde_json::json!({
        "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": OURS, "dry_run": dry_run,
        "client_token": client_token,
    });
    DetachRequest::parse(&body.to_string(), &Rules::default()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any moment serves as the zero of a made-up time line")]
fn start(
    dry_run: bool,
    client_token: Option<&str>,
    deadline: Duration,
    limits: Limits,
    seed: u64,
) -> (Witness, Step) {
    let now = Instant::now();
    let request = request(dry_run, client_token);
    let mut detach = Detach::new(&request, true, now + deadline, limits, seed);
    let step = detach.start(now);
    let witness = Witness {
        detach,
        dry_run,
        now,
        deadline: now + deadline,
        listed: None,
        look: None,
        tokens_spent: HashSet::new(),
        token_kept: None,
        token_last: None,
        detached_at: None,
        steps: 0,
    };
    (witness, step)
}

impl Witness {
    /// Checks a step against the laws; the call, or `None` at the end.
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
        assert!(after.is_zero() || self.now + after <= self.deadline, "no step lies past the deadline");
        self.now += after;
        match call {
            Call::ListSecurityGroups { next_token } => {
                if next_token.is_none() {
                    (self.listed, self.look) = (None, None);
                }
            }
            Call::ListEndpoints { .. } => {}
            Call::Detach { client_token, dry_run } => self.check_write(client_token.as_str(), *dry_run),
        }
        Some(call.clone())
    }

    fn check_write(&mut self, token: &str, dry_run: bool) {
        assert_eq!(dry_run, self.dry_run);
        assert!(self.now < self.deadline, "no write at the deadline or after it");
        let (list, record) = self.look.take().expect("look before every write");
        let record = record.expect("the endpoint exists");
        assert!(list.iter().any(|(id, _)| id != OURS) || list.is_empty(), "never the last group");
        if !dry_run {
            assert!(list.contains(&(OURS.to_owned(), GroupStatus::Attached)), "only what is attached");
            assert!(!matches!(record.status.as_deref(), Some("Creating" | "Pending" | "Deleting")));
        }
        if let Some(before) = self.detached_at.replace(self.now) {
            assert!(self.now - before >= Duration::from_millis(500), "writes keep their distance");
        }
        assert!(!self.tokens_spent.contains(token), "a definite answer spends the token");
        if let Some(kept) = &self.token_kept {
            assert_eq!(kept, token, "an unknown outcome keeps the token");
        }
        self.token_last = Some(token.to_owned());
    }

    fn check_end(&self, outcome: &Outcome) {
        let is_gone = || {
            let (list, record) = self.look.as_ref().expect("a complete look");
            let status = record.as_ref().expect("a record").status.clone().expect("a status");
            !list.iter().any(|(id, _)| id == OURS) && status != "Pending"
        };
        match outcome {
            Outcome::Detached | Outcome::AlreadyDetached => {
                assert!(is_gone(), "nothing is gone without proof");
                assert!(self.detach.account().confirmed_at.is_some());
            }
            Outcome::EndpointGone => {
                let (list, record) = self.look.as_ref().expect("a look");
                assert!(list.is_empty() && record.is_none());
            }
            Outcome::DryRunPassed => assert!(self.dry_run),
            Outcome::Refused(_) => {}
            Outcome::Unconfirmed(TimeUsedUp::Deadline) => {
                assert!(self.now >= self.deadline, "time is used until the deadline");
            }
            other => panic!("not an end of a detach: {other:?}"),
        }
        if !matches!(outcome, Outcome::Detached | Outcome::AlreadyDetached) {
            assert_eq!(self.detach.account().confirmed_at, None);
        }
    }

    fn see(&mut self, result: Result<Answer, Fault>) -> Step {
        match &result {
            Ok(Answer::SecurityGroups(page)) => {
                let list = self.listed.get_or_insert_default();
                list.extend(page.items.iter().map(|group| (group.id.clone(), group.status)));
            }
            Ok(Answer::Endpoints(page)) if page.next_token.is_none() => {
                let ours = page.items.iter().find(|endpoint| endpoint.id == "ep-a").cloned();
                self.look = self.listed.clone().map(|list| (list, ours));
            }
            Err(fault) if fault.kind == Kind::EndpointNotFound => match fault.action {
                Action::ListSecurityGroups => self.listed = Some(Vec::new()),
                Action::ListEndpoints => self.look = self.listed.clone().map(|list| (list, None)),
                Action::Detach => self.definite(),
            },
            Err(fault) if fault.action == Action::Detach && fault.keeps_token => {
                self.token_kept = self.token_last.clone();
            }
            Ok(Answer::Accepted) => self.definite(),
            Err(fault) if fault.action == Action::Detach => self.definite(),
            Ok(Answer::Endpoints(_)) | Err(_) => {}
        }
        self.detach.next(Seen { api_request_id: Some("R".to_owned()), result }, self.now)
    }

    fn definite(&mut self) {
        self.tokens_spent.extend(self.token_last.take());
        self.token_kept = None;
    }
}

/// Follows every answer from here to the end of each path; how many ends there are.
fn walk(mut witness: Witness, step: &Step, outcomes: &mut HashSet<&'static str>) -> u64 {
    let Some(call) = witness.take(step) else {
        if let Step::Finish(outcome) = step {
            outcomes.insert(outcome.name());
        }
        return 1;
    };
    let mut ends = 0;
    if matches!(call, Call::Detach { .. }) {
        // The region holds the write back until its look has grown old.
        let mut late = witness.clone();
        late.now += Duration::from_secs(4);
        let step = late.detach.postponed(call.clone(), late.now);
        ends += walk(late, &step, outcomes);
    }
    for answer in answers(call.action()) {
        let mut next = witness.clone();
        let step = next.see(answer);
        ends += walk(next, &step, outcomes);
    }
    ends
}

#[test]
fn every_answer_at_every_step_leads_to_a_lawful_end() {
    // Back-off as long as the deadline: a look, a write and the last look, with every answer to each.
    let four = Duration::from_secs(4);
    let limits = Limits { poll_first: four * 2, poll_max: four * 2, ..coarse() };
    let mut outcomes = HashSet::new();
    for (dry_run, client_token) in [(false, None), (false, Some("mine")), (true, None)] {
        let (witness, step) = start(dry_run, client_token, four, limits, 1);
        let ends = walk(witness, &step, &mut outcomes);
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
        poll_first: four,
        poll_max: four,
        backoff_min: four,
        backoff_base: four,
        backoff_max: four,
        no_effect_after: four,
    }
}

#[test]
fn every_answer_leads_to_a_lawful_end_in_the_middle_of_things_too() {
    let attached = || groups(&pair(GroupStatus::Attached));
    let at_rest = || endpoints(&[endpoint("Active")]);
    let refused = |code| fault(Action::Detach, 400, code);
    let accepted = || Ok(Answer::Accepted);
    let beginnings = [
        vec![attached(), at_rest(), accepted()],
        vec![attached(), at_rest(), accepted(), groups(&pair(GroupStatus::Detaching))],
        vec![attached(), at_rest(), accepted(), groups(&pair(GroupStatus::Detaching)), attached(), at_rest()],
        vec![attached(), at_rest(), timeout(Action::Detach)],
        vec![attached(), at_rest(), refused("SecurityGroupNotFound")],
        vec![
            attached(),
            at_rest(),
            refused("EndpointOperationDenied"),
            attached(),
            at_rest(),
            refused("EndpointLocked"),
        ],
    ];
    let mut outcomes = HashSet::new();
    for beginning in beginnings {
        // One more wait fits: a look with every answer, perhaps a write, and the last look.
        let (mut witness, mut step) = start(false, None, Duration::from_hours(1), coarse(), 1);
        let began = witness.now;
        for answer in beginning.clone() {
            witness.take(&step).unwrap();
            step = witness.see(answer);
        }
        let elapsed = witness.now - began;
        let (mut witness, mut step) = start(false, None, elapsed + Duration::from_secs(6), coarse(), 1);
        for answer in beginning {
            witness.take(&step).unwrap();
            step = witness.see(answer);
        }
        let ends = walk(witness, &step, &mut outcomes);
        assert!(ends > 100, "{ends} paths");
    }
    assert!(
        ["detached", "endpoint_gone", "refused", "unconfirmed"].iter().all(|name| outcomes.contains(name))
    );
}

#[test]
fn long_random_histories_end_lawfully_too() {
    let mut outcomes = HashSet::new();
    for seed in 0..5_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let token = random.bool().then_some("mine");
        let deadline = Duration::from_secs(random.u64(30..300));
        let (mut witness, mut step) = start(random.u8(..) < 32, token, deadline, Limits::default(), seed);
        while let Some(call) = witness.take(&step) {
            witness.now += Duration::from_millis(random.u64(1..400));
            let answers = answers(call.action());
            // Refusals would end nearly every history at once: they are drawn ten times less often.
            let draw = |random: &mut fastrand::Rng| answers[random.usize(..answers.len())].clone();
            let is_final = |answer: &Result<Answer, Fault>| matches!(answer, Err(fault) if matches!(fault.kind, Kind::Denied | Kind::Refused));
            let mut answer = draw(&mut random);
            while is_final(&answer) && random.u8(..) > 25 {
                answer = draw(&mut random);
            }
            step = witness.see(answer);
        }
        if let Step::Finish(outcome) = &step {
            outcomes.insert(outcome.name());
        }
    }
    assert!(outcomes.len() == 6, "{outcomes:?}");
}

/// A story: the answers in turn, each with the call it is given to, and the outcome.
struct Story {
    witness: Witness,
    step: Step,
}

impl Story {
    fn new(dry_run: bool) -> Self {
        Self::with(dry_run, None, Duration::from_hours(1))
    }

    fn with(dry_run: bool, client_token: Option<&str>, deadline: Duration) -> Self {
        let (witness, step) = start(dry_run, client_token, deadline, Limits::default(), 1);
        Self { witness, step }
    }

    /// Gives an answer to the call that must be of its action; how long the call was put off.
    fn give(&mut self, answer: Result<Answer, Fault>) -> Duration {
        let before = self.witness.now;
        let call = self.witness.take(&self.step).expect("the story goes on");
        let expected = match &answer {
            Ok(answer) => answer.action(),
            Err(fault) => fault.action,
        };
        assert_eq!(call.action(), expected);
        let waited = self.witness.now - before;
        self.step = self.witness.see(answer);
        waited
    }

    fn look(&mut self, list: &[SecurityGroup], record: Endpoint) -> Duration {
        let waited = self.give(groups(list));
        self.give(endpoints(&[record]));
        waited
    }

    fn token(&self) -> String {
        match &self.step {
            Step::Call { call: Call::Detach { client_token, .. }, .. } => client_token.to_string(),
            other => panic!("not a write: {other:?}"),
        }
    }

    fn end(mut self) -> Outcome {
        assert_eq!(self.witness.take(&self.step), None, "the story is over");
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
fn a_happy_detach_makes_no_call_too_many() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(Ok(Answer::Accepted));
    let first_poll = story.give(groups(&pair(GroupStatus::Detaching)));
    assert!((0.85..=1.15).contains(&first_poll.as_secs_f64()));
    story.look(&other(), endpoint("Active"));
    let account = story.witness.detach.account().clone();
    assert_eq!(story.end(), Outcome::Detached);
    assert_eq!((account.detach_calls, account.look_calls), (1, 5));
    assert_eq!(account.api_request_ids().count(), 3);
}

#[test]
fn what_is_gone_at_the_first_look_costs_two_reads_and_no_write() {
    let mut story = Story::new(false);
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.witness.detach.account().detach_calls, 0);
    assert_eq!(story.end(), Outcome::AlreadyDetached);
}

#[test]
fn absent_while_pending_is_not_gone() {
    let mut story = Story::new(false);
    story.look(&other(), endpoint("Pending"));
    story.look(&other(), endpoint("Pending"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::AlreadyDetached);
}

#[test]
fn somebody_elses_detach_is_waited_for_and_not_repeated() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Detaching), endpoint("Pending"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.witness.detach.account().detach_calls, 0);
    assert_eq!(story.end(), Outcome::Detached);
}

#[test]
fn the_last_group_is_refused_before_calling_and_a_leaving_neighbour_is_awaited() {
    let mut story = Story::new(false);
    story.look(
        &[group(OURS, GroupStatus::Attached), group("sg-b", GroupStatus::Detaching)],
        endpoint("Active"),
    );
    story.look(&[group(OURS, GroupStatus::Attached)], endpoint("Active"));
    assert_eq!(story.witness.detach.account().detach_calls, 0);
    assert_eq!(code_of(story.end()), "EndpointMustContainSecurityGroup");
}

#[test]
fn a_detach_without_effect_is_asked_again_after_ten_seconds_with_a_new_token() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let (first, asked) = (story.token(), story.witness.now);
    story.give(Ok(Answer::Accepted));
    while !matches!(story.step, Step::Call { call: Call::Detach { .. }, .. }) {
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    let waited = story.witness.now - asked;
    assert!((10.0..14.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_ne!(story.token(), first);
}

#[test]
fn a_detach_that_began_and_failed_is_asked_again_when_seen_twice() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let first = story.token();
    story.give(Ok(Answer::Accepted));
    story.give(groups(&pair(GroupStatus::Detaching)));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(groups(&pair(GroupStatus::Detaching)));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(story.token(), first);
}

#[test]
fn after_a_lost_answer_comes_a_look_and_then_the_same_token() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let first = story.token();
    story.give(timeout(Action::Detach));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(story.token(), first);
    story.give(fault(Action::Detach, 400, "EndpointLocked"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(story.token(), first, "a definite answer spends it");
}

#[test]
fn the_callers_token_comes_first_and_its_mismatch_is_the_callers_to_know() {
    let mut story = Story::with(false, Some("mine"), Duration::from_hours(1));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(story.token(), "mine");
    story.give(fault(Action::Detach, 400, "IdempotentParameterMismatch"));
    assert_eq!(code_of(story.end()), "IdempotentParameterMismatch");

    let mut story = Story::with(false, Some("mine"), Duration::from_hours(1));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "EndpointLocked"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(story.token(), "mine");
    story.give(fault(Action::Detach, 400, "IdempotentParameterMismatch"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.token();
}

#[test]
fn locks_are_waited_out_with_growing_back_off_and_arrears_are_not() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        story.give(fault(Action::Detach, 400, "EndpointLocked"));
        longest = longest.max(story.look(&pair(GroupStatus::Attached), endpoint("Active")));
    }
    assert!(longest > Duration::from_secs(10), "{longest:?}");
    story.give(fault(Action::Detach, 400, "EndpointLocked"));
    let locked = Endpoint { business_status: Some("FinancialLocked".into()), ..endpoint("Active") };
    story.look(&pair(GroupStatus::Attached), locked);
    assert_eq!(code_of(story.end()), "FinancialLocked");
}

#[test]
fn a_throttled_call_waits_as_long_as_it_is_told() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "Throttling.User"));
    let waited = story.give(timeout(Action::ListSecurityGroups));
    assert!(waited >= Duration::from_secs(7), "{waited:?}");
}

#[test]
fn a_connection_under_way_is_waited_for_and_a_deleted_one_is_not() {
    for status in ["ServiceDeleted", "Deleting"] {
        let mut story = Story::new(false);
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        story.give(fault(Action::Detach, 400, "EndpointConnectionOperationDenied"));
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        story.give(fault(Action::Detach, 400, "EndpointConnectionOperationDenied"));
        let deleted = Endpoint { connection_status: Some(status.into()), ..endpoint("Active") };
        story.look(&pair(GroupStatus::Attached), deleted);
        assert_eq!(code_of(story.end()), "EndpointConnectionOperationDenied");
    }
}

#[test]
fn a_state_that_forbids_it_is_believed_the_second_time_at_rest() {
    for code in ["EndpointOperationDenied", "IncorrectStatus.VpcEndpoint"] {
        let mut story = Story::new(false);
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        story.give(fault(Action::Detach, 400, code));
        story.look(&pair(GroupStatus::Attached), endpoint("Pending"));
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        story.give(fault(Action::Detach, 400, code));
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        story.give(fault(Action::Detach, 400, code));
        story.look(&pair(GroupStatus::Attached), endpoint("Active"));
        assert_eq!(code_of(story.end()), code);
    }
}

#[test]
fn a_group_not_found_is_gone_if_absent_and_refused_if_listed() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "SecurityGroupNotFound"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::Detached);

    let mut dry = Story::new(true);
    dry.look(&pair(GroupStatus::Attached), endpoint("Active"));
    dry.give(fault(Action::Detach, 400, "SecurityGroupNotFound"));
    dry.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(code_of(dry.end()), "SecurityGroupNotFound");

    let mut real = Story::new(false);
    real.look(&pair(GroupStatus::Attached), endpoint("Active"));
    real.give(fault(Action::Detach, 400, "SecurityGroupNotFound"));
    let objected = real.witness.now;
    while matches!(real.step, Step::Call { .. }) {
        real.look(&pair(GroupStatus::Attached), endpoint("Active"));
    }
    let waited = real.witness.now - objected;
    assert!((10.0..14.0).contains(&waited.as_secs_f64()), "the list has its time to catch up: {waited:?}");
    assert_eq!(code_of(real.end()), "SecurityGroupNotFound");
}

#[test]
fn a_group_not_found_after_an_accepted_detach_is_a_list_that_lags() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(Ok(Answer::Accepted));
    story.look(&pair(GroupStatus::Attached), endpoint("Pending"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "SecurityGroupNotFound"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::Detached);
}

#[test]
fn a_missing_endpoint_is_never_an_absent_group() {
    let mut never_seen = Story::new(false);
    never_seen.give(groups(&[]));
    never_seen.give(endpoints(&[]));
    assert_eq!(code_of(never_seen.end()), "EndpointNotFound");

    let mut by_code = Story::new(false);
    by_code.give(fault(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    by_code.give(fault(Action::ListEndpoints, 400, "EndpointNotFound"));
    assert_eq!(code_of(by_code.end()), "EndpointNotFound");

    let mut seen_before = Story::new(false);
    seen_before.look(&pair(GroupStatus::Attached), endpoint("Active"));
    seen_before.give(fault(Action::Detach, 400, "EndpointNotFound"));
    seen_before.give(fault(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    seen_before.give(endpoints(&[]));
    assert_eq!(seen_before.end(), Outcome::EndpointGone);
}

#[test]
fn reads_that_contradict_each_other_are_looked_at_again() {
    let mut story = Story::new(false);
    story.give(groups(&other()));
    story.give(endpoints(&[]));
    story.give(groups(&other()));
    story.give(fault(Action::ListEndpoints, 400, "EndpointNotFound"));
    story.give(fault(Action::ListSecurityGroups, 400, "EndpointNotFound"));
    story.give(endpoints(&[endpoint("Active")]));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "EndpointNotFound"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.token();
    let retries = &story.witness.detach.account().retries;
    assert_eq!((retries["EndpointNotFound"], retries["UnreadableAnswer"]), (3, 1));
}

#[test]
fn a_dry_run_polls_nothing_and_does_not_wait_for_a_pending_endpoint() {
    let mut story = Story::new(true);
    story.look(&pair(GroupStatus::Attached), endpoint("Pending"));
    story.give(fault(Action::Detach, 400, "DryRunOperation"));
    assert_eq!(story.end(), Outcome::DryRunPassed);

    let mut absent = Story::new(true);
    absent.look(&other(), endpoint("Active"));
    assert_eq!(absent.end(), Outcome::AlreadyDetached);

    let mut not_honoured = Story::new(true);
    not_honoured.look(&pair(GroupStatus::Attached), endpoint("Active"));
    not_honoured.give(Ok(Answer::Accepted));
    assert_eq!(code_of(not_honoured.end()), "DryRunNotHonoured");
}

#[test]
fn a_dry_run_never_reports_what_somebody_else_did_as_its_own() {
    let mut story = Story::new(true);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "EndpointLocked"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::AlreadyDetached);
}

#[test]
fn an_endpoint_that_is_being_made_proves_nothing() {
    let mut story = Story::new(false);
    story.look(&[], endpoint("Creating"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.token();
}

#[test]
fn a_write_that_was_held_back_looks_first() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let call = story.witness.take(&story.step).unwrap();
    story.step = story.witness.detach.postponed(call, story.witness.now);
    story.look(&[group(OURS, GroupStatus::Attached)], endpoint("Active"));
    assert_eq!(code_of(story.end()), "EndpointMustContainSecurityGroup");
}

#[test]
fn past_its_deadline_a_request_gets_one_look_and_no_write() {
    let mut attached = Story::with(false, None, Duration::ZERO);
    attached.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(attached.end(), Outcome::Unconfirmed(TimeUsedUp::Deadline));

    let mut gone = Story::with(false, None, Duration::ZERO);
    gone.look(&other(), endpoint("Active"));
    assert_eq!(gone.end(), Outcome::AlreadyDetached);

    let mut unreadable = Story::with(false, None, Duration::ZERO);
    unreadable.give(timeout(Action::ListSecurityGroups));
    assert_eq!(unreadable.end(), Outcome::Unconfirmed(TimeUsedUp::Deadline));
}

#[test]
fn many_pages_are_read_to_the_end_before_anything_is_concluded() {
    let page = |item, next: Option<&str>| {
        let next_token = next.map(str::to_owned);
        Ok(Answer::SecurityGroups(Page { items: vec![item], next_token, total_count: Some(2) }))
    };
    let mut story = Story::new(false);
    story.give(page(group("sg-other", GroupStatus::Attached), Some("2")));
    story.give(page(group(OURS, GroupStatus::Attached), None));
    story.give(endpoints(&[endpoint("Active")]));
    story.token();

    let mut broken = Story::new(false);
    broken.give(page(group("sg-other", GroupStatus::Attached), Some("2")));
    broken.give(timeout(Action::ListSecurityGroups));
    let waited = broken.give(page(group("sg-other", GroupStatus::Attached), Some("2")));
    assert!(waited >= Duration::from_millis(500), "a failed page means the whole list anew, later");
    for code in ["EndpointNotFound", "InvalidParameter"] {
        broken.give(fault(Action::ListSecurityGroups, 400, code));
        broken.give(page(group("sg-other", GroupStatus::Attached), Some("2")));
    }
}

#[test]
fn a_call_that_was_not_sent_is_not_counted() {
    let mut story = Story::new(false);
    story.give(Err(Fault::unsent(Action::ListSecurityGroups)));
    assert_eq!(story.witness.detach.account().look_calls, 0);
    story.give(timeout(Action::ListSecurityGroups));
    assert_eq!(story.witness.detach.account().look_calls, 1);
}

#[test]
fn only_the_look_at_the_deadline_is_the_last() {
    assert!(!Story::new(false).witness.detach.is_last_look());
    assert!(Story::with(false, None, Duration::ZERO).witness.detach.is_last_look());
}

#[test]
fn a_look_that_reaches_beyond_the_deadline_is_followed_by_no_write() {
    let mut story = Story::with(false, None, Duration::from_secs(30));
    story.give(groups(&pair(GroupStatus::Attached)));
    story.witness.take(&story.step);
    story.witness.now += Duration::from_secs(31);
    story.step = story.witness.see(endpoints(&[endpoint("Active")]));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_eq!(story.end(), Outcome::Unconfirmed(TimeUsedUp::Deadline));
}

#[test]
fn a_group_that_was_seen_leaving_and_is_back_is_not_waited_for() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    let (first, asked) = (story.token(), story.witness.now);
    story.give(Ok(Answer::Accepted));
    story.give(groups(&pair(GroupStatus::Detaching)));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    assert_ne!(story.token(), first);
    let waited = story.witness.now - asked;
    assert!(waited < Duration::from_secs(8), "sooner than one of which nothing was seen: {waited:?}");
}

#[test]
fn after_a_fault_the_record_is_read_whatever_the_list_says() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "EndpointLocked"));
    story.give(groups(&pair(GroupStatus::Detaching)));
    story.give(endpoints(&[endpoint("Pending")]));
    story.give(groups(&pair(GroupStatus::Detaching)));
    story.give(groups(&pair(GroupStatus::Detaching)));
}

#[test]
fn a_refusal_tells_which_call_was_refused() {
    let refusal = |story: Story| match story.end() {
        Outcome::Refused(refusal) => (refusal.action, refusal.is_denial),
        other => panic!("not refused: {other:?}"),
    };
    let mut missing = Story::new(false);
    missing.give(groups(&[]));
    missing.give(endpoints(&[]));
    assert_eq!(refusal(missing), (Some(Action::ListEndpoints), false));

    let mut arrears = Story::new(false);
    arrears.look(&pair(GroupStatus::Attached), endpoint("Active"));
    arrears.give(fault(Action::Detach, 400, "EndpointLocked"));
    let locked = Endpoint { business_status: Some("FinancialLocked".into()), ..endpoint("Active") };
    arrears.look(&pair(GroupStatus::Attached), locked);
    assert_eq!(refusal(arrears), (Some(Action::Detach), false));

    let mut not_honoured = Story::new(true);
    not_honoured.look(&pair(GroupStatus::Attached), endpoint("Active"));
    not_honoured.give(Ok(Answer::Accepted));
    assert_eq!(refusal(not_honoured), (Some(Action::Detach), false));

    for (code, is_denial) in [("EndpointServiceDeleted", false), ("NoPermission", true)] {
        let mut refused = Story::new(false);
        refused.look(&pair(GroupStatus::Attached), endpoint("Active"));
        refused.give(fault(Action::Detach, 400, code));
        assert_eq!(refusal(refused), (Some(Action::Detach), is_denial), "{code}");
    }
}

#[test]
fn a_dry_run_asks_although_the_group_is_just_being_taken_off() {
    let mut story = Story::new(true);
    story.look(&other(), endpoint("Pending"));
    story.give(fault(Action::Detach, 400, "SecurityGroupNotFound"));
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::AlreadyDetached);
}

#[test]
fn a_passed_dry_run_is_no_answer_to_a_real_detach() {
    let mut story = Story::new(false);
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(fault(Action::Detach, 400, "DryRunOperation"));
    story.look(&pair(GroupStatus::Attached), endpoint("Active"));
    story.give(Ok(Answer::Accepted));
    assert_eq!(story.witness.detach.account().detach_accepted, 1);
    story.look(&other(), endpoint("Active"));
    assert_eq!(story.end(), Outcome::Detached);
}

#[test]
fn waits_between_looks_grow() {
    let mut doubtful = Story::new(false);
    let waits: Vec<_> = (0..20).map(|_| doubtful.give(timeout(Action::ListSecurityGroups))).collect();
    assert!(waits.iter().max() > Some(&Duration::from_secs(10)), "{waits:?}");

    let mut polling = Story::new(false);
    let look = |story: &mut Story| story.look(&pair(GroupStatus::Attaching), endpoint("Active"));
    look(&mut polling);
    polling.give(groups(&pair(GroupStatus::Attaching)));
    for _ in 0..4 {
        polling.give(groups(&pair(GroupStatus::Attaching)));
    }
    let wait = polling.give(groups(&pair(GroupStatus::Attaching)));
    assert!(wait > Duration::from_secs(2), "{wait:?}");
}
