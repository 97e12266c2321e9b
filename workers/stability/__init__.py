"""Whether the answer stays the same when the inputs change by as little as contours and slices vary."""
