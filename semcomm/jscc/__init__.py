"""Learned codecs: images to channel symbols through one network, and back through another."""

from semcomm.jscc.training import DeepJSCCTraining, LSCITraining

__all__ = ["DeepJSCCTraining", "LSCITraining"]
