"""The reading wing: a trace folder as a store that can be asked. It knows the record, and nothing of how it is made."""
