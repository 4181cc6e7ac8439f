"""All targets by name."""

from fuzzing.files import FILES
from fuzzing.graphs import GRAPHS
from fuzzing.ratings import RATINGS
from fuzzing.streams import STREAMS
from fuzzing.target import Target

TARGETS: dict[str, Target] = {target.name: target for target in (*STREAMS, *FILES, *GRAPHS, *RATINGS)}
