"""What a study contains and whether it can be scored: pure functions of headers and facts."""
