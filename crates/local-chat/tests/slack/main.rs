//! Slack over sockets: an app that calls the Web API, an app that receives requests, and the control endpoints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod app;
mod control;
#[path = "../shared/http.rs"]
mod http;
mod program;
mod requests;
mod web_api;
