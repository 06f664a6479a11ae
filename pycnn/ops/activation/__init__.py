"""Activations and their gradients.

Every gradient takes what went into the activation, not its result: one rule for all of them.
"""
