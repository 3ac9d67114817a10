"""The reading wing: what was recorded, found again and understood. It imports nothing of Prela but the record."""
