//! Chat: two people request and approve a detach in a conversation, and see its outcome there.
//!
//! Pure. Everything that a platform sends or shows is parsed and rendered here; the intake receives calls, and the
//! messenger posts messages. There is no database: the button contains the signed request, and the request's `metadata`
//! contains the signed reply address.
//!
//! In reading order: [`identity`] has platforms, people and conversations, [`command`] parses what a person typed,
//! [`policy`] decides who may request and approve, [`request`] is the signed content, [`signed`] signs it for each use,
//! [`decision`] decides about a click, [`answer`] is the answer to a command, [`completion`] reads a completion event,
//! [`notice`] is everything that the messenger posts, [`content`] is what it says, and [`texts`] has every text in each
//! language. [`call`] and [`post`] are a platform's calls in both directions; [`apps`] has the credentials of apps, and
//! [`access`] the tokens that platforms issue for them. Each platform is one module: [`slack`], [`dingtalk`], [`feishu`].

pub mod access;
pub mod answer;
pub mod apps;
pub mod call;
pub mod command;
pub mod completion;
pub mod content;
pub mod decision;
pub mod dingtalk;
pub mod feishu;
pub mod identity;
pub mod notice;
pub mod policy;
pub mod post;
pub mod request;
#[cfg(test)]
mod samples;
pub mod signed;
pub mod slack;
pub mod texts;
