"""The report as a value: its fields, its wording in two languages, its JSON form, and the inputs of its objects."""
