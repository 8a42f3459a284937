//! A response body that can end before its declared length.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

pub(super) struct ResponseBody {
    bytes: Option<Bytes>,
    end: End,
}

/// What follows the bytes of a body.
#[derive(PartialEq)]
enum End {
    /// The end of the body.
    Complete,
    /// One pending poll, in which hyper sends the bytes; then `Error`.
    Pause,
    /// An error, on which hyper closes the connection.
    Error,
}

impl ResponseBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Complete }
    }

    pub(super) fn truncated(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Pause }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyTruncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyTruncated>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Complete => Poll::Ready(None),
            End::Pause => {
                self.end = End::Error;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Error => Poll::Ready(Some(Err(BodyTruncated))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Complete && self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.end, &self.bytes) {
            (End::Complete, bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            // Unknown, so that hyper keeps the declared content length.
            (End::Pause | End::Error, _) => SizeHint::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an injected fault truncates the body")]
pub(super) struct BodyTruncated;
