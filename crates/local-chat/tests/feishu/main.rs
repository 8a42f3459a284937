//! Feishu over sockets: an app that calls the API, an app that receives requests, and the control endpoints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod app;
mod control;
#[path = "../shared/http.rs"]
mod http;
mod requests;
