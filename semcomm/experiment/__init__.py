"""Experiments: from a file to a validated plan of points."""
