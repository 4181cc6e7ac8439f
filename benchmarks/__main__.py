"""Every benchmark, one after the other, as tables in Markdown.

    python -m benchmarks [FOLDER] [--quick]

FOLDER holds images of 768x512, such as the 24 of Kodak; without it the built-in photographs stand in. `--quick` takes
minutes instead of an hour. Run it on an idle machine.
"""

import argparse
import subprocess
import sys
from time import perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    images = [arguments.folder] if arguments.folder else []
    limit = ["--limit", "3"] if arguments.quick else []
    commands = {
        "LDPC decoding beside Sionna and pyldpc": ["ldpc", *(["--quick"] if arguments.quick else [])],
        "The stages of the separate link": ["link", *images, *limit],
        "The sweep engine": ["sweep"],
        "Intervals": ["intervals"],
        "Generative transceivers": ["generative", *(["--repeats", "3"] if arguments.quick else [])],
        "Metrics": ["metrics"],
        "SeSS matching": ["sess_matching"],
        "What the embedded SeSS is worth": ["sess_worth", *(images or ["builtin"]), *limit],
        "Source codecs": ["source_codecs", *(images or ["builtin"]), *limit],
        "Link adaptation at its own thresholds": [
            "adaptation",
            "thresholds",
            *(["--images", "50"] if arguments.quick else []),
        ],
        "Link adaptation beside fixed modes": [
            "adaptation",
            "fixed",
            *(["--realisations", "4"] if arguments.quick else []),
        ],
        "Learned codecs": ["learned", "quality", *(images or ["builtin"]), *limit, "--realisations", "2"],
        "Speed of the learned codecs": ["learned", "speed"],
        "Damaged JPEG 2000": ["damaged_jpeg2000", *(images or ["builtin"]), *limit],
    }
    for title, (module, *options) in commands.items():
        print(f"\n## {title}\n", flush=True)
        began = perf_counter()
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *options], check=True)
        print(f"\n({perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
