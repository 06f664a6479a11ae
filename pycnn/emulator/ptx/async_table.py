"""The rows of the table for what is asynchronous: proxies, barriers in memory, bulk copies."""

from pycnn.emulator.ptx import proxies
from pycnn.emulator.ptx.forms import full

full("fence", "proxy kind=async ?space=global|shared::cta|shared::cluster", "", "warp",
     proxies.fence)  # fmt: skip
full("fence", "proxy kind=alias", "", "warp", proxies.other_fence)
full("fence", "proxy kind=tensormap::generic order=release scope=cta|cluster|gpu|sys", "", "warp",
     proxies.other_fence)  # fmt: skip
full("fence", "proxy kind=tensormap::generic order=acquire scope=cta|cluster|gpu|sys", "* *",
     "warp", proxies.other_fence)  # fmt: skip
