"""Speed and quality beside peers, each in one run. `python -m benchmarks` runs them all."""
