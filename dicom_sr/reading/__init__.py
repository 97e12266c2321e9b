"""A report value from a Structured Report of this software."""
