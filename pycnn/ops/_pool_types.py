"""Types of arguments that the poolings share."""

from collections.abc import Sequence

#: One number for all axes, or one for each.
Extent = int | Sequence[int]

#: The same where None means as many as there are.
Size = int | None | Sequence[int | None]
