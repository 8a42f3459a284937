//! An HTTP message in a text format for corpus files: a first line, headers, an empty line, and the body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

pub(crate) struct Message<'a> {
    /// Not checked.
    pub(crate) first: &'a str,
    /// A line that is not a header is skipped.
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses an input. Returns `None` if the first line is not UTF-8.
    pub(crate) fn read(input: &'a [u8]) -> Option<Self> {
        let end = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        Some(Self { first, headers, body })
    }

    /// A response, if the first line is a status.
    pub(crate) fn into_response(self) -> Option<Response<Bytes>> {
        let status = StatusCode::from_bytes(self.first.as_bytes()).ok()?;
        let mut response = Response::new(Bytes::copy_from_slice(self.body));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        Some(response)
    }
}
