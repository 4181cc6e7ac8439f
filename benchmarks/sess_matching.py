"""The matching of SeSS beside its plain-Python formulation, on the same graphs in the same run.

python -m benchmarks.sess_matching [--nodes 40] [--density 0.1]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/metrics/sess"))

from oracle import sess
from test_matching import R, random_graph

from semcomm.metrics.sess import Parameters, match


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--density", type=float, default=0.1, help="relations per ordered pair of objects")
    arguments = parser.parse_args()
    g1, g2 = (random_graph(arguments.nodes, seed, arguments.density) for seed in (0, 1))
    match(g1, g2, 0.5, R)  # compile
    print(f"{arguments.nodes} x {arguments.nodes} objects, {arguments.density:.0%} relations\n")
    print("| preset | plain Python ms | ours ms | ratio | difference |\n|---|---|---|---|---|")
    for name, parameters in (("paper", Parameters.paper()), ("authors", Parameters.authors())):
        began = time.perf_counter()
        expected, _ = sess(g1, g2, 0.5, R, parameters)
        plain = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(10):
            found = match(g1, g2, 0.5, R, parameters)
        ours = (time.perf_counter() - began) / 10
        difference = abs(found.score - expected)
        print(f"| {name} | {1000 * plain:.0f} | {1000 * ours:.1f} | {plain / ours:.0f} | {difference:.0e} |")


if __name__ == "__main__":
    main()
