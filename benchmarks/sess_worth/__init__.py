"""The worth of an image metric: cases with an answer that people would give, and how a metric decides them."""
