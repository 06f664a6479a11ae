"""The rows of the table for what is asynchronous: proxies, barriers in memory, bulk copies."""

from pycnn.emulator.ptx import barriers, bulk, clusters, proxies, tensor, tensormap
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

for _arrive in ("arrive", "arrive sem=release|relaxed"):
    full("barrier", f"cluster {_arrive} ?aligned", "", "warp", clusters.arrive)
full("barrier", "cluster wait ?sem=acquire ?aligned", "", "warp", clusters.wait)
full("mapa", "?space=shared::cluster T=u32|u64", ">T * u32", "pure", clusters.map_address)
full("getctarank", "?space=shared::cluster T=u32|u64", ">u32 *", "pure", clusters.rank_of)
full("fence", "mbarrier_init sem=release scope=cluster", "", "warp", proxies.init_fence)
full("fence", "sem=acquire sync_restrict::shared::cluster scope=cluster", "", "warp",
     proxies.other_fence)  # fmt: skip
full("fence", "sem=release sync_restrict::shared::cta scope=cluster", "", "warp",
     proxies.other_fence)  # fmt: skip
full("fence", "proxy kind=async::generic sem=acquire sync_restrict::shared::cluster scope=cluster",
     "", "warp", proxies.fence)  # fmt: skip
full("fence", "proxy kind=async::generic sem=release sync_restrict::shared::cta scope=cluster",
     "", "warp", proxies.fence)  # fmt: skip

_BYTES = "mbarrier::complete_tx::bytes"
_HINT = "?hint=L2::cache_hint"
_REDUCE = "op=add|min|max|inc|dec|and|or|xor ?noftz T=u32|s32|u64|s64|b32|b64|f16|bf16|f32|f64"
full("cp", f"async bulk to=shared::cluster|shared::cta of=global {_BYTES} "
     f"?multicast=multicast::cluster {_HINT}", "* * u32 * ?* ?*", "memory", bulk.load)  # fmt: skip
full("cp", f"async bulk to=shared::cluster of=shared::cta {_BYTES}", "* * u32 *", "memory",
     bulk.load)  # fmt: skip
full("cp", f"reduce async bulk to=shared::cluster of=shared::cta {_BYTES} {_REDUCE}", "* * u32 *",
     "memory", bulk.load)  # fmt: skip
full("cp", f"async bulk to=global of=shared::cta bulk_group {_HINT}", "* * u32 ?*", "memory",
     bulk.store)  # fmt: skip
full("cp", f"reduce async bulk to=global of=shared::cta bulk_group {_HINT} {_REDUCE}",
     "* * u32 ?*", "memory", bulk.store)  # fmt: skip
full("cp", f"async bulk prefetch L2 of=global {_HINT}", "* u32 ?*", "memory", bulk.prefetch)
full("cp", "async bulk commit_group", "", "memory", bulk.commit)
full("cp", "async bulk wait_group ?read", "*", "memory", bulk.wait)
_SENT = "?weak ?sem=relaxed ?scope=cluster ?space=shared::cluster"
full("st", f"async {_SENT} {_BYTES} ?vec=v2|v4 T=b32|b64|u32|u64|s32|s64|f32|f64", "* * *",
     "memory", bulk.store_async)  # fmt: skip
full("red", f"async {_SENT} {_BYTES} op=add|min|max|inc|dec|and|or|xor T=u32|s32|u64|b32", "* * *",
     "memory", bulk.store_async)  # fmt: skip

_DIM = "dim=1d|2d|3d|4d|5d"
full("cp", f"async bulk tensor {_DIM} to=shared::cluster|shared::cta of=global ?mode=tile|im2col "
     f"{_BYTES} ?multicast=multicast::cluster {_HINT}", "* * * ?* ?* ?*", "memory",
     tensor.load)  # fmt: skip
full("cp", f"async bulk tensor {_DIM} to=global of=shared::cta ?mode=tile|im2col_no_offs "
     f"bulk_group {_HINT}", "* * ?*", "memory", tensor.store)  # fmt: skip
full("cp", f"reduce async bulk tensor {_DIM} to=global of=shared::cta "
     f"op=add|min|max|inc|dec|and|or|xor ?mode=tile|im2col_no_offs bulk_group {_HINT}", "* * ?*",
     "memory", tensor.store)  # fmt: skip
full("cp", f"async bulk prefetch tensor {_DIM} L2 of=global ?mode=tile|im2col {_HINT}", "* ?* ?*",
     "memory", bulk.prefetch)  # fmt: skip
full("prefetch", "?space=param|const tensormap", "*", "memory", bulk.prefetch)

_MAP = "replace mode=tile"
for _fields, _type in (
    ("global_address", "b64"), ("rank|elemtype|interleave_layout|swizzle_mode|fill_mode", "b32"),
):  # fmt: skip
    full("tensormap", f"{_MAP} field={_fields} ?space=global|shared::cta b1024 T={_type}",
         "* T", "memory", tensormap.replace)  # fmt: skip
for _fields, _type in (("global_stride", "b64"), ("global_dim|box_dim|element_stride", "b32")):
    full("tensormap", f"{_MAP} field={_fields} ?space=global|shared::cta b1024 T={_type}",
         "* u32 T", "memory", tensormap.replace)  # fmt: skip
full("tensormap", "cp_fenceproxy to=global of=shared::cta kind=tensormap::generic order=release "
     "scope=cta|cluster|gpu|sys sync aligned", "* * *", "warp", tensormap.copy)  # fmt: skip
