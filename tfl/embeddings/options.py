"""What can be asked for, as the command line says it. Imports nothing: the help of every command reads it."""

from typing import Literal

POOLINGS = ("avg", "max", "flatten", "first")
"""How a feature map or a sequence becomes one vector."""
Metric = Literal["cosine", "euclidean"]
METRICS = ("cosine", "euclidean")
"""How near two vectors are: by their directions, or by their distance."""
TOP = 5
"""Neighbours of each query, where nothing else is said."""
HoldOut = Literal["labels", "items"]
HOLD_OUTS = ("labels", "items")
"""What examples that measure the error rates of a threshold do not share with those that chose it."""
