"""Seeing what a network does: its shapes and cost, its diagram, what it makes of an image."""

from pycnn.nn.classifier import probabilities
from pycnn.see.costs import LayerSummary, Summary, summary
from pycnn.see.diagram import draw
from pycnn.see.filters import CLASSIC, filtered
from pycnn.see.heat import grad_cam, occlusion
from pycnn.see.prepare import PreparedImage, prepare_image
from pycnn.see.receptive import Field, Span
from pycnn.see.stages import outline
from pycnn.see.trace import Step, trace
from pycnn.see.visualisation import Visualisation, html, visualise
from pycnn.see.weight_sharing import Sharing, sharing

__all__ = [
    "CLASSIC",
    "Field",
    "LayerSummary",
    "PreparedImage",
    "Sharing",
    "Span",
    "Step",
    "Summary",
    "Visualisation",
    "draw",
    "filtered",
    "grad_cam",
    "html",
    "occlusion",
    "outline",
    "prepare_image",
    "probabilities",
    "sharing",
    "summary",
    "trace",
    "visualise",
]
