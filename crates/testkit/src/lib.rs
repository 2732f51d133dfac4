//! Scripted WebSocket peers, a chaos proxy and the connector contract suite.
