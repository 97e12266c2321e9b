"""A small PACS for `cptdn demo` and for the tests, where no hospital's PACS is at hand; it is not a PACS to use."""
