//! Two links back to back, in simulated time.
