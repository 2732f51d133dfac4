//! The websocket source and sink of EventFlux.
