use super::*;

const LEASE: Duration = Duration::from_secs(6);
const ORIGIN: Origin = Origin { epoch: 5, first: 10, gone: 0 };

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(100.0 + seconds)
}

fn config(partitions: u32) -> LeaseConfig {
    LeaseConfig { group: "g".to_owned(), partitions, lease: LEASE, replicas: 1 }
}

fn record(owner: Option<&str>, position: u64) -> Record {
    Record { owner: owner.map(str::to_owned), position, epoch: ORIGIN.epoch, write: 900 }
}

/// A machine called `me` that has seen the whole bucket: `records` by partition, with revision 1.
fn ready(partitions: u32, records: &[Record]) -> Machine {
    ready_of(ORIGIN, partitions, records)
}

fn ready_of(origin: Origin, partitions: u32, records: &[Record]) -> Machine {
    let mut machine = Machine::new(&config(partitions), origin, "me".to_owned());
    assert!(matches!(machine.poll(at(0.0))[..], [Request::Alive(..)]), "nothing is taken before all is seen");
    machine.alive_written(at(0.0), Outcome::Stored(50));
    for (partition, record) in records.iter().enumerate() {
        machine.partition_seen(at(0.0), partition as u32, 1, Some(record.clone()));
    }
    machine.member_seen(at(0.0), "me", 50, None);
    machine
}

fn writes(requests: Vec<Request>) -> Vec<(u32, u64, Record)> {
    let of = |request| match request {
        Request::Partition { partition, expected, record } => Some((partition, expected, record)),
        _ => None,
    };
    requests.into_iter().filter_map(of).collect()
}

/// Takes partition 0 at `seconds`; revision 7.
fn holding(machine: &mut Machine, seconds: f64) -> Term {
    let written = writes(machine.poll(at(seconds)));
    for (partition, _, record) in written {
        machine.partition_written(at(seconds), partition, record.write, Outcome::Stored(7));
    }
    match machine.take_changes()[..] {
        [Change::Acquired { term, partition: 0, .. }] => term,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_alone_takes_everything_from_where_it_was_left() {
    let mut machine = ready(2, &[record(None, 42)]);
    let mut written = writes(machine.poll(at(0.0)));
    written.sort_by_key(|(partition, ..)| *partition);
    let summary: Vec<_> = written.iter().map(|(k, expected, record)| (*k, *expected, record.position)).collect();
    assert_eq!(summary, [(0, 1, 42), (1, 0, ORIGIN.first)]);
    assert!(written.iter().all(|(.., record)| record.owner.as_deref() == Some("me")));
}

#[test]
fn positions_of_an_earlier_stream_begin_with_the_new_one() {
    let mut machine = ready(1, &[Record { epoch: ORIGIN.epoch - 1, ..record(None, 4_000) }]);
    assert_eq!(writes(machine.poll(at(0.0)))[0].2.position, 1);
}

#[test]
fn a_newer_stream_is_reported_and_nothing_of_it_taken() {
    let mut machine = ready(1, &[Record { epoch: ORIGIN.epoch + 1, ..record(None, 1) }]);
    assert_eq!(writes(machine.poll(at(0.0))), []);
    assert_eq!(machine.take_changes(), [Change::Outdated { epoch: ORIGIN.epoch + 1 }]);
    assert_eq!(machine.take_changes(), []);
    machine.partition_seen(at(0.1), 0, 2, Some(Record { epoch: ORIGIN.epoch + 1, ..record(None, 2) }));
    assert_eq!(machine.take_changes(), [], "once");
    machine.partition_seen(at(0.2), 0, 3, Some(Record { epoch: ORIGIN.epoch + 2, ..record(None, 1) }));
    assert_eq!(machine.take_changes(), [Change::Outdated { epoch: ORIGIN.epoch + 2 }]);
}

#[test]
fn positions_of_a_later_stream_that_is_gone_begin_with_the_one_that_is_there() {
    let later = Record { epoch: ORIGIN.epoch + 2, ..record(None, 4_000) };
    let origin = Origin { gone: later.epoch, ..ORIGIN };
    let mut machine = ready_of(origin, 2, &[later.clone(), Record { epoch: later.epoch + 1, ..later.clone() }]);
    let written = writes(machine.poll(at(0.0)));
    assert_eq!(written.len(), 1, "one that is newer still is not taken");
    let (partition, expected, taken) = &written[0];
    assert_eq!((*partition, *expected, taken.position, taken.epoch), (0, 1, 1, ORIGIN.epoch));
    assert_eq!(machine.take_changes(), [Change::Outdated { epoch: later.epoch + 1 }]);
}

#[test]
fn what_somebody_holds_is_taken_when_its_key_has_not_changed_for_a_lease() {
    let mut machine = ready(1, &[record(Some("other"), 42)]);
    assert_eq!(writes(machine.poll(at(5.9))), []);
    assert_eq!(machine.deadline(), Some(at(6.0)));
    machine.partition_seen(at(5.9), 0, 2, Some(record(Some("other"), 43)));
    assert_eq!(writes(machine.poll(at(6.1))), []);
    let written = writes(machine.poll(at(11.9)));
    assert_eq!((written[0].1, written[0].2.position), (2, 43));
}

#[test]
fn a_holder_stops_after_two_thirds_of_a_lease_counted_from_when_it_sent() {
    let mut machine = ready(1, &[]);
    let written = writes(machine.poll(at(0.0)));
    // The answer takes its time.
    machine.partition_written(at(2.0), 0, written[0].2.write, Outcome::Stored(7));
    let [Change::Acquired { term, .. }] = machine.take_changes()[..] else { panic!("not acquired") };
    assert!(machine.may_work(at(3.9), 0, term));
    assert!(!machine.may_work(at(4.0), 0, term), "also before anybody polls");
    machine.poll(at(4.0));
    assert_eq!(machine.take_changes(), [Change::Lost { partition: 0, term }]);
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let mut machine = ready(1, &[]);
    let written = writes(machine.poll(at(0.0)));
    machine.partition_written(at(4.0), 0, written[0].2.write, Outcome::Stored(7));
    assert_eq!(machine.take_changes(), []);
    // It is ours all the same, and nobody else could take it yet.
    assert_eq!(writes(machine.poll(at(4.0)))[0].1, 7);
}

#[test]
fn renewals_go_on_every_third_of_a_lease_and_sooner_with_a_new_position() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    assert_eq!(writes(machine.poll(at(1.9))), []);
    machine.advance(0, term, 77);
    let written = writes(machine.poll(at(1.9)));
    assert_eq!((written[0].1, written[0].2.position), (7, 77));
    machine.partition_written(at(1.9), 0, written[0].2.write, Outcome::Stored(8));
    assert_eq!(writes(machine.poll(at(3.8))), []);
    assert_eq!(writes(machine.poll(at(3.9)))[0].1, 8);
    assert!(machine.may_work(at(5.8), 0, term));
}

#[test]
fn a_position_never_goes_back() {
    let mut machine = ready(1, &[record(None, 42)]);
    let term = holding(&mut machine, 0.0);
    machine.advance(0, term, 10);
    assert_eq!(writes(machine.poll(at(2.0)))[0].2.position, 42);
}

#[test]
fn a_term_that_was_over_stays_over_when_the_answer_comes_late() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    let written = writes(machine.poll(at(3.0)));
    assert!(!machine.may_work(at(4.0), 0, term));
    machine.partition_written(at(4.0), 0, written[0].2.write, Outcome::Stored(8));
    assert!(!machine.may_work(at(4.0), 0, term));
    let [Change::Acquired { term: next, .. }] = machine.take_changes()[..] else { panic!("not acquired") };
    assert!(next > term && machine.may_work(at(6.9), 0, next));
}

#[test]
fn a_write_of_unknown_outcome_that_the_bucket_shows_has_succeeded() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    let first = writes(machine.poll(at(2.0)));
    machine.partition_written(at(3.0), 0, first[0].2.write, Outcome::Unknown);
    let second = writes(machine.poll(at(3.5)));
    assert_eq!(second[0].1, 7);
    // The first one was there all the time, so the second one fails.
    machine.partition_written(at(3.6), 0, second[0].2.write, Outcome::Refused);
    assert_eq!(machine.take_changes(), []);
    machine.partition_seen(at(3.7), 0, 8, Some(first[0].2.clone()));
    assert!(machine.may_work(at(5.9), 0, term) && !machine.may_work(at(6.0), 0, term), "counted from the first one");
}

#[test]
fn who_is_refused_has_lost() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    let written = writes(machine.poll(at(2.0)));
    machine.partition_written(at(2.1), 0, written[0].2.write, Outcome::Refused);
    assert_eq!(machine.take_changes(), [Change::Lost { partition: 0, term }]);
    assert!(!machine.may_work(at(2.1), 0, term));
}

#[test]
fn who_joins_gets_its_share_when_what_was_begun_is_finished() {
    let mut machine = ready(2, &[]);
    for (partition, _, record) in writes(machine.poll(at(0.0))) {
        machine.partition_written(at(0.0), partition, record.write, Outcome::Stored(7));
    }
    assert_eq!(machine.take_changes().len(), 2);
    machine.member_seen(at(1.0), "other", 60, Some(Presence { held: 0, ready: false }));
    machine.poll(at(1.0));
    assert_eq!(machine.take_changes(), [], "not before it can take any");
    machine.member_seen(at(1.0), "other", 61, Some(Presence { held: 0, ready: true }));
    machine.poll(at(1.0));
    let [Change::Release { partition, term }] = machine.take_changes()[..] else { panic!("nothing to release") };
    machine.advance(partition, term, 99);
    machine.release(partition, term);
    assert!(!machine.may_work(at(1.0), partition, term));
    let written = writes(machine.poll(at(1.0)));
    assert_eq!((written[0].0, &written[0].2.owner, written[0].2.position), (partition, &None, 99));
    machine.partition_written(at(1.1), partition, written[0].2.write, Outcome::Stored(8));
    assert_eq!(machine.held().count(), 1);
    assert_eq!(writes(machine.poll(at(1.1))), [], "it is not taken back");
}

#[test]
fn who_leaves_gives_everything_back_before_it_says_so() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    machine.alive_written(at(0.1), Outcome::Stored(51));
    machine.advance(0, term, 20);
    machine.leave();
    let requests = machine.poll(at(0.5));
    let [Request::Partition { record, .. }] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((&record.owner, record.position), (&None, 20));
    machine.partition_written(at(0.6), 0, record.write, Outcome::Stored(8));
    assert_eq!(machine.poll(at(0.6)), [Request::Leave("me".to_owned())]);
    machine.leave_written(at(0.7), Outcome::Stored(9));
    assert!(machine.has_left());
    assert_eq!(machine.poll(at(9.0)), []);
}

#[test]
fn a_bucket_that_is_replaced_costs_no_position() {
    let mut machine = ready(1, &[]);
    let term = holding(&mut machine, 0.0);
    machine.advance(0, term, 33);
    machine.forget();
    assert_eq!(machine.take_changes(), [Change::Lost { partition: 0, term }]);
    assert!(matches!(machine.poll(at(1.0))[..], [Request::Alive(..)]));
    machine.alive_written(at(1.0), Outcome::Stored(1));
    machine.member_seen(at(1.0), "me", 1, None);
    let written = writes(machine.poll(at(1.0)));
    assert_eq!((written[0].1, written[0].2.position), (0, 33));
}

#[test]
fn a_bucket_that_shows_nothing_is_noticed() {
    let mut machine = ready(1, &[]);
    machine.poll(at(2.0));
    machine.alive_written(at(2.0), Outcome::Stored(51));
    assert!(!machine.is_deaf(at(13.9)));
    assert!(machine.is_deaf(at(14.0)));
    machine.member_seen(at(14.0), "me", 51, None);
    assert!(!machine.is_deaf(at(14.0)));
}

#[test]
fn keys_of_processes_long_gone_are_removed_by_the_first_that_is_alive() {
    let mut machine = ready(1, &[]);
    machine.member_seen(at(0.0), "gone", 40, None);
    machine.member_seen(at(59.0), "n", 41, Some(Presence { held: 0, ready: true }));
    assert!(machine.poll(at(60.0)).contains(&Request::Remove("gone".to_owned())));
    let mut second = ready(1, &[]);
    second.member_seen(at(0.0), "gone", 40, None);
    second.member_seen(at(59.0), "a", 41, Some(Presence { held: 0, ready: true }));
    assert!(!second.poll(at(60.0)).contains(&Request::Remove("gone".to_owned())));
}
