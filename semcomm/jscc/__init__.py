"""Networks of the learned codecs and what they share: constellations, layers, plans, loading."""
