"""Seeing what a network does: its shapes and cost, its diagram, what it makes of an image."""

from pycnn.see.costs import LayerSummary, Summary, summary
from pycnn.see.diagram import draw
from pycnn.see.filters import CLASSIC, filtered
from pycnn.see.heat import grad_cam, occlusion, probabilities
from pycnn.see.prepare import Sight, sight
from pycnn.see.receptive import Field, Span
from pycnn.see.seen import Seen, html, visualise
from pycnn.see.stages import outline
from pycnn.see.unshared import Sharing, sharing
from pycnn.see.walk import Step, walk

__all__ = [
    "CLASSIC",
    "Field",
    "LayerSummary",
    "Seen",
    "Sharing",
    "Sight",
    "Span",
    "Step",
    "Summary",
    "draw",
    "filtered",
    "grad_cam",
    "html",
    "occlusion",
    "outline",
    "probabilities",
    "sharing",
    "sight",
    "summary",
    "visualise",
    "walk",
]
