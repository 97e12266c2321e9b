"""Messages: sentences for people as keys with parameters, rendered in each language from one catalogue."""
