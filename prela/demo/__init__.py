"""What `prela demo` runs: a small research agent that does everything at once, against a server of its own."""
