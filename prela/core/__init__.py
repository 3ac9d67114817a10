"""Decides, never waits: spans, their context, sampling, and the bounded buffer they end in.

Nothing here imports an event loop, a thread or a socket, takes a lock on the way of a span, or raises into user code.
"""
