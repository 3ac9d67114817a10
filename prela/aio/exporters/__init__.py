"""The exporters that come with Prela, one a file."""
