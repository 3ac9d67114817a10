"""The web view: a trace folder in the browser, and a receiver of OTLP. It reads through the store."""
