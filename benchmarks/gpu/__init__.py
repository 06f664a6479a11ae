"""``make gpu``: everything a machine with a GPU has to show, from the checkout, with no network.

    python3 -m benchmarks.gpu all

runs four stages, each of which can be run alone:

* ``compile``: every kernel into the disk cache, on all cores;
* ``test``: the tests that run on ``cuda``, on all cores;
* ``sanitize``: every kernel once under compute-sanitizer, where that is installed;
* ``bench``: networks against cuDNN, where PyTorch with CUDA is installed.

A page tells at the end what became of them, and is written with one file of results to
``benchmarks/results/<gpu>/``. A stage that reaches its limit keeps what it has, says so, and goes
on from there when it is run again; all of them together end within ten minutes.
"""
