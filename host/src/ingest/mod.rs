//! What clients send about production, turned into interactions and events.
//!
//! Reading is pure: bytes in, domain values out, with the reason for whatever
//! was refused. A client's mistake never takes the rest of its request with it.

pub mod otlp;
