"""The rows of the table for what is asynchronous: proxies, barriers in memory, bulk copies."""

from pycnn.emulator.ptx import barriers, proxies
from pycnn.emulator.ptx.forms import full, value

full("fence", "proxy kind=async ?space=global|shared::cta|shared::cluster", "", "warp",
     proxies.fence)  # fmt: skip
full("fence", "proxy kind=alias", "", "warp", proxies.other_fence)
full("fence", "proxy kind=tensormap::generic order=release scope=cta|cluster|gpu|sys", "", "warp",
     proxies.other_fence)  # fmt: skip
full("fence", "proxy kind=tensormap::generic order=acquire scope=cta|cluster|gpu|sys", "* *",
     "warp", proxies.other_fence)  # fmt: skip

_OWN = "?space=shared|shared::cta"
_ANY = "?space=shared|shared::cta|shared::cluster"
_RELEASE = "?sem=release|relaxed ?scope=cta|cluster"
_ACQUIRE = "?sem=acquire|relaxed ?scope=cta|cluster"
full("mbarrier", f"op=init {_OWN} T=b64", "* u32", "memory", barriers.init)
full("mbarrier", f"op=inval {_OWN} T=b64", "*", "memory", barriers.invalidate)
for _op in ("arrive", "arrive_drop"):
    full("mbarrier", f"op={_op} ?expect=expect_tx {_RELEASE} {_ANY} T=b64", ">b64 * ?u32", "memory",
         barriers.arrive)  # fmt: skip
    full("mbarrier", f"op={_op} nocomplete=noComplete {_RELEASE} {_OWN} T=b64", ">b64 * u32",
         "memory", barriers.arrive)  # fmt: skip
full("mbarrier", f"op=expect_tx|complete_tx ?sem=relaxed ?scope=cta|cluster {_ANY} T=b64", "* u32",
     "memory", barriers.transact)  # fmt: skip
for _op, _operands in (("test_wait", ">pred * {}"), ("try_wait", ">pred * {} ?u32")):
    full("mbarrier", f"op={_op} {_ACQUIRE} {_OWN} T=b64", _operands.format("b64"), "memory",
         barriers.wait)  # fmt: skip
    full("mbarrier", f"op={_op} parity {_ACQUIRE} {_OWN} T=b64", _operands.format("u32"), "memory",
         barriers.wait)  # fmt: skip
value("mbarrier", "op=pending_count T=b64", "T", barriers.pending_count, "u32")
full("cp", f"async mbarrier arrive ?noinc {_OWN} T=b64", "*", "memory", barriers.copies_arrive)
