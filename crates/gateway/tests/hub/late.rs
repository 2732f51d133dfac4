//! Clients for which events wait too long.

use eventflux_gateway::{Ending, FullPolicy, QueueLimits};

use crate::slow::{FILTERS, QUEUE, publish, subscriber};
use crate::support::{Flow, World, flow, queue, seconds};

#[test]
fn what_waits_too_long_is_dropped() {
    for filter in FILTERS {
        for full in [FullPolicy::DropOldest, FullPolicy::Conflate] {
            let world = World::events().slow(QueueLimits { age: Some(seconds(10)), ..queue(QUEUE, full) });
            let mut client = subscriber(&world, filter);
            publish(&world, 1..=3);
            world.pass(seconds(11));
            publish(&world, 4..=5);
            let heard = flow(&client.hear());
            // A reader under conflation gets what has no key as far as it fits, however old.
            if full == FullPolicy::DropOldest {
                assert_eq!(heard, Flow { numbers: vec![4, 5], missed: 3 }, "{filter:?}");
            }
            assert_eq!(heard.numbers.len() as u64 + heard.missed, 5, "{filter:?} {full:?}");
        }
    }
}

#[test]
fn what_comes_when_something_waits_too_long_is_dropped() {
    for filter in FILTERS {
        let limits = QueueLimits { age: Some(seconds(10)), ..queue(QUEUE, FullPolicy::DropNewest) };
        let world = World::events().slow(limits);
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=2);
        world.pass(seconds(5));
        publish(&world, 3..=3);
        world.pass(seconds(6));
        publish(&world, 4..=5);
        assert_eq!(flow(&client.hear()), Flow { numbers: vec![1, 2, 3], missed: 2 }, "{filter:?}");
        publish(&world, 6..=6);
        assert_eq!(flow(&client.hear()), Flow { numbers: vec![6], missed: 0 }, "{filter:?}");
    }
}

#[test]
fn one_whose_events_wait_too_long_is_closed_but_nobody_whom_we_kept_waiting() {
    for filter in FILTERS {
        let limits = QueueLimits { age: Some(seconds(10)), ..queue(QUEUE, FullPolicy::Disconnect) };
        let world = World::events().slow(limits);
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=20);
        // The process stood still.
        world.pass(seconds(120));
        client.transmit(200);
        assert_eq!((client.ended, client.heard().is_empty()), (None, false), "{filter:?}");
        // Now the client does not get on.
        publish(&world, 21..=30);
        world.pass(seconds(11));
        client.transmit(200);
        assert_eq!(client.ended, Some(Ending::TooSlow), "{filter:?}");
    }
}

#[test]
fn one_that_takes_nothing_is_closed_for_what_waits_too_long() {
    for filter in FILTERS {
        let limits = QueueLimits { age: Some(seconds(10)), ..queue(QUEUE, FullPolicy::Disconnect) };
        let world = World::events().slow(limits);
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=1);
        for _ in 0..11 {
            assert_eq!(client.session.overtake(world.now()), Ok(()), "{filter:?}");
            world.pass(seconds(1));
        }
        assert_eq!(client.session.overtake(world.now()), Err(Ending::TooSlow), "{filter:?}");
    }
}
