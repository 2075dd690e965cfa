//! What each attribute becomes.
