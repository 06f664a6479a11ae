"""The oracle: plain NumPy in float64, with PyTorch's semantics.

One module per family, each importing NumPy and the output-size formula alone. Results are float64
whatever the input's dtype; gradients are written out as mathematics, not derived by autograd.
"""
