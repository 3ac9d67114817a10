"""The record of a finished span: what the writing wing leaves and the reading wing finds.

Pure: nothing here waits, opens a file or knows of a tracer. `enums` and `values` need only the standard
library; `model` and `jsonl` need msgspec, and so are imported only by whoever writes or reads records.
"""
