"""From rows to statistics, comparisons, figures and the report."""
