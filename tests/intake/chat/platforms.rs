//! What every platform has in common, and how `DingTalk` and Feishu differ from Slack: an answer to a command is a notice, and
//! the response to a click has a body.

mod authentication;
mod clicks;
mod commands;
mod dingtalk;
mod errors;
mod feishu;
