"""``make gpu``: everything a machine with a GPU has to show, from the checkout, with no network.

    python3 -m benchmarks.gpu all

runs three stages, each of which can be run alone: ``test`` (the test suite on ``cuda``),
``sanitize`` (every kernel under the tools of compute-sanitizer, where that is installed) and
``bench`` (the suites, against cuDNN where PyTorch with CUDA is installed). Results are written to
``benchmarks/results/<gpu>/*.json``. All of it ends within ten minutes: a stage that reaches its
limit keeps what it has, and says so.
"""
