"""Models: a protocol, and what fulfils it."""
