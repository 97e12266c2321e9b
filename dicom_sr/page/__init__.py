"""The page of a report as a matplotlib figure: dark for viewers, light for paper."""
