//! An error with everything that led to it, for logs and messages.

use std::error::Error;

/// The messages of the error and its sources, outermost first.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_source_is_told() {
        let io = std::io::Error::other("disk full");
        let error = crate::identity::record::RecordError::Io { verb: "write", path: "/a".into(), source: io };
        assert_eq!(super::chain(&error), "could not write /a: disk full");
    }
}
