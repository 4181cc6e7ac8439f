"""SeSS, the Semantic Similarity Score: scenes, graphs and their matching."""

from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.matching import Match, Pair, match
from semcomm.metrics.sess.metric import SeSS
from semcomm.metrics.sess.scene import Backend, Scene
from semcomm.metrics.sess.scenes import Embedded, Pretrained, Scenes

__all__ = [
    "Backend",
    "Embedded",
    "Match",
    "Pair",
    "Parameters",
    "Pretrained",
    "Scene",
    "SceneGraph",
    "Scenes",
    "SeSS",
    "match",
]
