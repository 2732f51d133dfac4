//! The pipeline benchmark: feeder, relay, hand-written floor, collector, and their runner.
