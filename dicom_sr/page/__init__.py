"""The one designed page, as a matplotlib figure: dark for viewers, light for paper."""
