//! Conformance suites: what every plugin of a kind has to satisfy.
