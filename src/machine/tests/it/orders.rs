//! Every verb of a person in every phase and every hold, for every lifecycle: taken, or refused with a reason that says what to do.

use cutover_machine::emergency::EmergencyOrder;
use cutover_machine::event::{Event, Fact, Order};
use cutover_machine::manual::Handed;
use cutover_machine::plan::{Declares, GraceOffer, Lifecycle, Plan, ProviderFacts, Verbs, VerifyKind};
use cutover_machine::state::{Call, Held, Key, Layout, Phase, Proof, Why};
use cutover_machine::{Due, Effect, Now, Question, Rotation, Span, decide, due};

use super::fixture::{self, HOOK, START, key, standing, verify};

fn plan(lifecycle: Lifecycle, clock: bool) -> Plan {
    let base = fixture::plan();
    Plan {
        provider: ProviderFacts {
            lifecycle,
            declares: Declares {
                grace: clock.then_some(GraceOffer::Fixed(base.grace)),
                negative_probe: true,
                ..Declares::default()
            },
            verbs: Verbs { revoke: lifecycle == Lifecycle::Overlap, ..base.provider.verbs },
            ..base.provider
        },
        hooks: vec![HOOK],
        verifies: vec![verify(VerifyKind::Confirm)],
        ..base
    }
}

fn plans() -> [(&'static str, Plan); 5] {
    [
        ("overlap", plan(Lifecycle::Overlap, false)),
        ("grace", plan(Lifecycle::Grace, true)),
        ("set", plan(Lifecycle::Set, true)),
        ("manual", plan(Lifecycle::Manual, false)),
        ("manual clock", plan(Lifecycle::Manual, true)),
    ]
}

/// A rotation that stands here, held for this.
fn at(phase: Phase, why: Option<Why>, plan: &Plan) -> Rotation {
    Rotation { held: why.map(|why| Held { why, since: START, told_at: START }), ..standing(phase, plan) }
}

fn places() -> Vec<(Phase, Option<Why>)> {
    let detail = || String::from("a detail");
    vec![
        (Phase::Preflight, None),
        (Phase::Preflight, Some(Why::Preflight(detail()))),
        (Phase::Mint, None),
        (Phase::Mint, Some(Why::MintRefused(detail()))),
        (Phase::Mint, Some(Why::SameKey)),
        (Phase::Doubt, None),
        (Phase::Doubt, Some(Why::Doubt)),
        (Phase::Doubt, Some(Why::Candidates(vec![String::from("key_9")]))),
        (Phase::Doubt, Some(Why::Look(detail()))),
        (Phase::Stage, None),
        (Phase::Stage, Some(Why::Store { target: 0, detail: detail() })),
        (Phase::Deploy, None),
        (Phase::Deploy, Some(Why::Hook { hook: 0, detail: detail() })),
        (Phase::Deploy, Some(Why::HookUnknown { hook: 0 })),
        (Phase::Deploy, Some(Why::Drift { targets: vec![0] })),
        (Phase::Observe, None),
        (Phase::Observe, Some(Why::OldStillUsed { at: START, from: None })),
        (Phase::Settle, None),
        (Phase::Retire, None),
        (Phase::Retire, Some(Why::Retire(detail()))),
        (Phase::Retire, Some(Why::OldStillAccepted)),
        (Phase::Closed, None),
    ]
}

fn orders() -> [(char, Order); 9] {
    let handed = Handed { key: key("given"), old_expires_at: Some(START.plus(Span::hours(20))) };
    [
        ('c', Order::Confirm),
        ('C', Order::ConfirmRetire),
        ('r', Order::Resume),
        ('m', Order::MintAgain),
        ('a', Order::Abandon),
        ('A', Order::AdoptOld),
        ('s', Order::Submit(handed)),
        ('e', Order::Emergency(EmergencyOrder::CutFirst, Vec::new())),
        ('d', Order::Emergency(EmergencyOrder::DeployFirst, Vec::new())),
    ]
}

/// What is taken where: `c`onfirm, `C`onfirm --retire, `r`esume, `m`int-again, `a`bandon, `A`dopt, `s`ubmit,
/// `e`mergency (cut first), emergency with `d`eploy first.
const TAKEN: &str = "\
place                      overlap    grace      set        manual     clock
preflight                  ....a..ed  ....a..ed  ....a..ed  ....a..ed  ....a..ed
preflight:preflight        ..r.aA.ed  ..r.aA.ed  ..r.aA.ed  ..r.aA.ed  ..r.aA.ed
mint                       ....a..ed  ....a..ed  ....a..ed  ....a.sed  ....a.sed
mint:mint-refused          ..r.aA.ed  ..r.aA.ed  ..r.aA.ed  ..r.aAsed  ..r.aAsed
mint:same-key              ..rm.Ased  ..rm.Ased  ..rm.Ased  ..r..Ased  ..r..Ased
doubt                      .......ed  .......ed  .......ed  .......ed  .......ed
doubt:doubt                ..rm.Ased  ..rm.Ased  ..rm.Ased  ..r..Ased  ..r..Ased
doubt:candidates           ..rm.Ased  ..rm.Ased  ..rm.Ased  ..r..Ased  ..r..Ased
doubt:look                 ..rm.Ased  ..rm.Ased  ..rm.Ased  ..r..Ased  ..r..Ased
stage                      ....a..ed  .......ed  .......ed  ....a..ed  .......ed
stage:store                ..r.aA.ed  ..r..A.ed  ..r..A.ed  ..r.aA.ed  ..r..A.ed
deploy                     ....a..ed  .......ed  .......ed  ....a..ed  .......ed
deploy:hook                ..r.aA.ed  ..r..A.ed  ..r..A.ed  ..r.aA.ed  ..r..A.ed
deploy:hook-unknown        ..r.aA.ed  ..r..A.ed  ..r..A.ed  ..r.aA.ed  ..r..A.ed
deploy:drift               ..r.aA.ed  ..r..A.ed  ..r..A.ed  ..r.aA.ed  ..r..A.ed
observe                    c...a..ed  c......ed  c......ed  c...a..ed  c......ed
observe:old-still-used     ..r.aA.ed  ..r..A.ed  ..r..A.ed  ..r.aA.ed  ..r..A.ed
settle                     ....a..ed  .......ed  .......ed  ....a..ed  .......ed
retire                     .C..a..ed  .......ed  .......ed  .C..a..ed  .C.....ed
retire:retire              .Cr.aA.ed  ..r..A.ed  ..r..A.ed  .Cr.aA.ed  .Cr..A.ed
retire:old-still-accepted  .Cr.aA.ed  ..r..A.ed  ..r..A.ed  .Cr.aA.ed  .Cr..A.ed
closed                     .........  .........  .........  .........  .........
";

#[test]
fn every_verb_everywhere() {
    let now = Now::open(START.plus(Span::MINUTE));
    let mut table =
        format!("{:<27}{}\n", "place", ["overlap    ", "grace      ", "set        ", "manual     ", "clock"].concat());
    for (phase, why) in places() {
        let name = why.as_ref().map_or_else(|| phase.label().to_owned(), |why| format!("{}:{}", phase.label(), why.label()));
        let mut row = format!("{name:<27}");
        for (lifecycle, plan) in plans() {
            let rotation = at(phase, why.clone(), &plan);
            for (letter, order) in orders() {
                match decide(Event::Ordered(order.clone()), &rotation, &plan, now) {
                    Ok(step) => {
                        let told = step.facts.iter().any(|fact| matches!(fact, Fact::Ordered { .. }));
                        assert!(told, "{lifecycle} {name} {order:?}: taken, and nothing is told of it");
                        row.push(letter);
                    }
                    Err(illegal) => {
                        assert!(says_what_to_do(&illegal.reason), "{lifecycle} {name} {order:?}: {}", illegal.reason);
                        row.push('.');
                    }
                }
            }
            row.push_str("  ");
        }
        table.push_str(row.trim_end());
        table.push('\n');
    }
    assert_eq!(table, TAKEN, "it is now:\n{table}");
}

/// A refusal names what else can be done, or that nothing has to be.
fn says_what_to_do(reason: &str) -> bool {
    let words = [
        "resume",
        "submit",
        "abandon",
        "cutover status",
        "wait for its end",
        "by itself",
        "go on with",
        "is for",
        "say --",
        "by hand",
        "closed",
        "put",
        "mend",
    ];
    words.iter().any(|word| reason.contains(word))
}

/// While a call is under way nothing can be decided that it could contradict.
#[test]
fn a_call_under_way_is_waited_for() {
    for (_, plan) in plans() {
        for (phase, why) in places().into_iter().filter(|(phase, _)| *phase < Phase::Closed) {
            let mut rotation = at(phase, why, &plan);
            let deadline = START.plus(Span::MINUTE);
            rotation.call =
                Call::Flying { effect: Effect::Write { target: 0, layout: Layout::Settled }, since: START, deadline };
            for (letter, order) in orders().into_iter().filter(|(letter, _)| "rmas".contains(*letter)) {
                let taken = decide(Event::Ordered(order), &rotation, &plan, Now::open(START));
                assert!(taken.is_err(), "{letter} in {phase:?}");
            }
        }
    }
}

/// What a person says of the old key's end may shorten what is counted on, and proves nothing before the time that was reckoned.
#[test]
fn a_word_about_the_old_keys_end_only_shortens() {
    let plan = plan(Lifecycle::Grace, true);
    let rotation = at(Phase::Doubt, Some(Why::Doubt), &plan);
    let armed = rotation.grace.as_ref().expect("armed").end;
    for (told, end, dies) in [
        (None, armed, None),
        (Some(START.plus(Span::hours(5))), START.plus(Span::hours(5)), Some(armed)),
        (Some(START.plus(Span::hours(50))), armed, Some(START.plus(Span::hours(50)))),
    ] {
        let order = Order::Submit(Handed { key: key("given"), old_expires_at: told });
        let next = decide(Event::Ordered(order), &rotation, &plan, Now::open(START.plus(Span::MINUTE))).expect("taken").next;
        assert_eq!(next.grace.as_ref().expect("armed").end, end);
        assert_eq!(next.old.as_ref().expect("there").expires_at, dies, "{told:?}");
        assert_eq!(next.phase, Phase::Mint, "it is presented first");
        assert_eq!(due(&next, &plan, Now::open(START.plus(Span::MINUTE))), Due::Call(Effect::ProbeNew));
    }
}

fn submit(rotation: &Rotation, plan: &Plan, handed: Handed) -> Result<Rotation, String> {
    let step = decide(Event::Ordered(Order::Submit(handed)), rotation, plan, Now::open(START.plus(Span::MINUTE)));
    step.map(|step| step.next).map_err(|illegal| illegal.reason)
}

/// What is handed in is a new key, with its id and the old key's end where they are needed.
#[test]
fn what_is_handed_in_must_fit() {
    let plan = plan(Lifecycle::Manual, true);
    let rotation = at(Phase::Mint, None, &plan);
    let end = Some(START.plus(Span::hours(20)));
    let refused = |handed, why: &str| match submit(&rotation, &plan, handed) {
        Ok(_) => panic!("taken although: {why}"),
        Err(reason) => assert!(reason.contains(why), "{reason}"),
    };
    refused(Handed { key: key("old"), old_expires_at: end }, "key in use");
    refused(Handed { key: Key { id: None, ..key("given") }, old_expires_at: end }, "say --id ID");
    refused(Handed { key: Key { id: Some("old".into()), ..key("given") }, old_expires_at: end }, "id of the old key");
    refused(Handed { key: key("given"), old_expires_at: None }, "say --old-expires-at");
    let next = submit(&rotation, &plan, Handed { key: key("given"), old_expires_at: end }).expect("taken");
    assert_eq!(next.grace.as_ref().map(|grace| grace.end), end);
    assert!(next.clock_ends_old(&plan));
    // The provider refuses it: another one can be handed in, and the same one cannot.
    let mut wrong = next;
    wrong.held = Some(Held { why: Why::NewKeyRefused, since: START, told_at: START });
    assert!(
        submit(&wrong, &plan, Handed { key: key("given"), old_expires_at: end })
            .expect_err("refused")
            .contains("in hand already")
    );
    let right = submit(&wrong, &plan, Handed { key: key("third"), old_expires_at: end }).expect("taken");
    assert_eq!(right.new.map(|new| new.fingerprint).as_deref(), Some("sha256:third"));
    // A policy's first key has no old one, whose end could be told.
    let mut first = at(Phase::Mint, None, &plan);
    first.old = None;
    let next = submit(&first, &plan, Handed { key: key("given"), old_expires_at: None }).expect("taken");
    assert!(next.grace.is_none());
}

/// A person is asked at once and daily; everything is looked at right before, and not again while they take their time.
#[test]
fn a_person_is_asked_at_once_and_daily() {
    let plan = plan(Lifecycle::Manual, false);
    let mut rotation = at(Phase::Mint, None, &plan);
    let mut now = START.plus(Span::minutes(3));
    assert_eq!(due(&rotation, &plan, Now::open(now)), Due::Call(Effect::Survey), "stale before anybody is asked");
    rotation.mint.surveyed_at = now;
    let mut told = 0;
    for _ in 0..100 {
        match due(&rotation, &plan, Now::open(now)) {
            Due::Tell => {
                let step = decide(Event::Woke, &rotation, &plan, Now::open(now)).expect("fits");
                told += step.facts.iter().filter(|fact| **fact == Fact::Waiting { question: Question::Submit }).count();
                rotation = step.next;
            }
            Due::Ask(Question::Submit, until) => now = until,
            other => panic!("{other:?}"),
        }
        if now > START.plus(Span::DAY.times(10)) {
            break;
        }
    }
    assert_eq!(told, 10, "at once, and once a day");
}

/// Where nothing else can tell, the word of a person is what is recorded; where it can be presented, it is seen refused.
#[test]
fn an_end_by_hand_is_proven_or_recorded_as_said() {
    for (probe, proof) in [(false, Proof::Said), (true, Proof::Refused)] {
        for clock in [false, true] {
            let mut plan = plan(Lifecycle::Manual, clock);
            plan.provider.verbs.probe = probe;
            let rotation = at(Phase::Retire, None, &plan);
            let now = Now::open(START.plus(Span::MINUTE));
            let mut step = decide(Event::Ordered(Order::ConfirmRetire), &rotation, &plan, now).expect("taken");
            let mut facts = std::mem::take(&mut step.facts);
            if probe {
                assert_eq!(due(&step.next, &plan, now), Due::Call(Effect::ProbeOld));
                let deadline = now.at.plus(Span::MINUTE);
                step = decide(Event::Intended { effect: Effect::ProbeOld, deadline }, &step.next, &plan, now).expect("due");
                let refused = Event::Probed(cutover_machine::event::Answer::Done(false));
                step = decide(refused, &step.next, &plan, now).expect("fits");
                facts.append(&mut step.facts);
            }
            assert!(facts.contains(&Fact::EndedByHand) && facts.contains(&Fact::OldDead { proof }), "{facts:?}");
            assert_eq!(step.next.phase, Phase::Closed);
        }
    }
}
