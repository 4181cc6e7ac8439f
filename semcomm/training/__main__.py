"""`python -m semcomm.training FILE [KEY=VALUE ...] --out DIR`: needs only torch, numpy, Pillow and safetensors."""

import sys

from semcomm.errors import SemcommError
from semcomm.training.command import main

if __name__ == "__main__":
    try:
        main(sys.argv[1:], "python -m semcomm.training")
    except SemcommError as error:
        sys.exit(f"semcomm: error: {error}")
    except KeyboardInterrupt:
        sys.exit("semcomm: stopped; the last checkpoint is kept, and the same command goes on from it")
