"""Ask PyTorch, where it is installed, for its answers and signatures.

``python tests/golden/make.py [FAMILY ...]``

Needed when cases of `pycnn.testing` or PyTorch's part in them have changed. Numbers depend on
PyTorch's version and processor in their last bits, so ask for no more families than have changed.
"""

import importlib.util
import json
import sys

import golden
import numpy as np
import signatures

from pycnn.testing.tested import NoPeer


def family(name):
    """Write the answers to all cases of one family."""
    import torch

    entries, numbers = {}, []
    for key, (tested, case) in golden.CASES.items():
        if tested.op.family != name:
            continue
        inputs = golden.draw(tested, case)
        try:
            found = golden.by_pytorch(tested, case, inputs)
        except NoPeer as lacking:
            entries[key] = {"none": str(lacking)}
            continue
        entry = golden.described(tested, case, inputs)
        entry["outputs"] = {}
        for output, array in found.items():
            values = golden.kept(array)
            place = sum(map(len, numbers)), len(values)
            entry["outputs"][output] = {"shape": array.shape, "place": place}
            numbers.append(values)
        entries[key] = entry
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(e)}" for key, e in entries.items())
    made = f'{{"torch": "{torch.__version__}", "cases": {{\n{lines}\n}}}}\n'
    (golden.FOLDER / f"{name}.json").write_text(made)
    np.save(golden.FOLDER / f"{name}.npy", np.concatenate(numbers))


if __name__ == "__main__":
    if not importlib.util.find_spec("torch"):
        sys.exit("PyTorch is asked, and is not here; install it with: pip install -e '.[torch]'")
    families = dict.fromkeys(tested.op.family for tested, _ in golden.CASES.values())
    golden.FOLDER.mkdir(exist_ok=True)
    for each in sys.argv[1:] or families:
        if each not in families:
            sys.exit(f"no family {each!r}; allowed: {', '.join(families)}")
        family(each)
    signatures.write()
