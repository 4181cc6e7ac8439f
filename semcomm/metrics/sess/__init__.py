"""SeSS, the Semantic Similarity Score: scenes, graphs and their matching."""

from semcomm.metrics.sess.embedded import Embedded
from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.matching import Match, Pair, match
from semcomm.metrics.sess.metric import SeSS
from semcomm.metrics.sess.pretrained import Pretrained
from semcomm.metrics.sess.scene import Backend, Scene

__all__ = ["Backend", "Embedded", "Match", "Pair", "Parameters", "Pretrained", "Scene", "SceneGraph", "SeSS", "match"]
