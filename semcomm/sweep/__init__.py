"""Experiments: from a file to points, a run that resumes, tables, figures and a report."""
