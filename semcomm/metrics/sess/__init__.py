"""SeSS, the Semantic Similarity Score: scenes, graphs and their matching."""

from semcomm.metrics.sess.embedded import Embedded
from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.matching import Match, Pair, match
from semcomm.metrics.sess.metric import SeSS
from semcomm.metrics.sess.scene import Backend, Scene

__all__ = ["Backend", "Embedded", "Match", "Pair", "Parameters", "Scene", "SceneGraph", "SeSS", "match"]
