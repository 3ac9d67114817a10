"""Libraries that trace themselves once `instrument()` was called: one module each, with `uninstrument()` beside it."""
