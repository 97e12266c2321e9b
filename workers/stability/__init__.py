"""Whether the answer stays the same when the inputs change by as little as nobody can rule out."""
