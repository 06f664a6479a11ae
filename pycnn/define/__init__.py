"""One definition of every operation; see `pycnn.define.operation`."""

from pycnn.define import activation
from pycnn.define.operation import Operation

_FAMILIES = (activation,)

#: Every operation by the name of its public function, gradients after what they belong to.
OPERATIONS: dict[str, Operation] = {
    definition.name: definition for family in _FAMILIES for definition in family.DEFINITIONS
}
