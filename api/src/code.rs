//! One table: every error a client can see, its stable code and its HTTP status.

use axum::http::StatusCode;

macro_rules! codes {
    ($($name:ident, $text:literal, $status:ident, $title:literal;)*) => {
        /// What went wrong, for programs. Codes are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Its status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// In a few words, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    BadJson, "bad_json", BAD_REQUEST, "The body is not JSON";
    BadForm, "bad_form", BAD_REQUEST, "The form cannot be read";
    BadBody, "bad_body", BAD_REQUEST, "The body cannot be read";
    BadParameter, "bad_parameter", BAD_REQUEST, "A query parameter is not valid";
    BadHeader, "bad_header", BAD_REQUEST, "A header is not valid";
    Unauthorized, "unauthorized", UNAUTHORIZED, "A valid API key is needed";
    Forbidden, "forbidden", FORBIDDEN, "This API key may not do that";
    NotFound, "not_found", NOT_FOUND, "There is no such thing";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    NotAcceptable, "not_acceptable", NOT_ACCEPTABLE, "None of the accepted types can be made";
    BodyTimeout, "body_timeout", REQUEST_TIMEOUT, "The body came too slowly";
    NotFinished, "not_finished", CONFLICT, "The job has not finished";
    NoResult, "no_result", CONFLICT, "The job ended without a result";
    Expired, "expired", GONE, "The job's data have been removed";
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    SequenceTooLong, "sequence_too_long", PAYLOAD_TOO_LARGE, "The sequence is longer than this server folds";
    UnsupportedType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's type is not supported";
    UnsupportedEncoding, "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, "The body's encoding is not supported";
    BadRange, "range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The range lies outside the file";
    BadField, "bad_field", UNPROCESSABLE_ENTITY, "A field is not valid";
    BadSequence, "bad_sequence", UNPROCESSABLE_ENTITY, "The sequence is not valid";
    BadAlignment, "bad_alignment", UNPROCESSABLE_ENTITY, "The alignment is not valid";
    BadTemplate, "bad_template", UNPROCESSABLE_ENTITY, "A template is not valid";
    BadInput, "bad_input", UNPROCESSABLE_ENTITY, "The input file is not valid";
    BadWebhook, "bad_webhook", UNPROCESSABLE_ENTITY, "The webhook is not valid";
    TooLong, "too_long", UNPROCESSABLE_ENTITY, "The input is larger than this server folds";
    UnknownModel, "unknown_model", UNPROCESSABLE_ENTITY, "There is no such model";
    KeyReused, "key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    Quota, "quota_exceeded", TOO_MANY_REQUESTS, "The quota is used up";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal, "internal", INTERNAL_SERVER_ERROR, "Something went wrong in the server";
    JobFailed, "job_failed", INTERNAL_SERVER_ERROR, "The sequence could not be folded";
    EngineStarting, "engine_starting", SERVICE_UNAVAILABLE, "The folding engine is not ready";
    StoreBusy, "store_busy", SERVICE_UNAVAILABLE, "The job store cannot write now";
    ServerBusy, "server_busy", SERVICE_UNAVAILABLE, "The server has too much to do";
    Closing, "closing", SERVICE_UNAVAILABLE, "The server is stopping";
    WaitedTooLong, "waited_too_long", GATEWAY_TIMEOUT, "The job takes longer than the server waits";
    DiskLow, "disk_low", INSUFFICIENT_STORAGE, "The server's disk is nearly full";
    DiskFull, "disk_full", INSUFFICIENT_STORAGE, "The server's disk is full";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_errors_and_unlike_each_other() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(
            Code::ALL.iter().all(|code| code.status().is_client_error() || code.status().is_server_error())
        );
    }
}
