"""Query and retrieve as SCU: find the series that a case misses on a PACS, and have them sent here (PS3.4 Annex C)."""
