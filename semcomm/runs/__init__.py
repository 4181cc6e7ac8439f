"""Runs: from a plan to rows. Engine, executors, store, results."""
