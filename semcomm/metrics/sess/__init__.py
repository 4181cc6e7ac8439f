"""SeSS, the Semantic Similarity Score: scene graphs and their matching."""

from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.matching import Match, Pair, match

__all__ = ["Match", "Pair", "Parameters", "SceneGraph", "match"]
