"""What a tracer that watches its program can say beyond when spans began and ended; see docs/insight.md.

Nothing of it is imported, and nothing of it runs, before `init(insight=True)` or a question such as `open_spans()`.
"""
