"""Runs: from the plan of an experiment to rows, on one machine or a cluster."""
