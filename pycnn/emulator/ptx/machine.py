"""LLVM: from its language to object code, and object code into memory."""

import functools
from typing import Any

from pycnn.runtime.extras import import_extra


@functools.cache
def llvm() -> Any:
    """llvmlite's binding, ready for this processor."""
    binding = import_extra("llvmlite.binding", "emulator", "running PTX in the emulator")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def version() -> str:
    """Version of LLVM."""
    return "LLVM " + ".".join(map(str, llvm().llvm_version_info))


@functools.cache
def fingerprint() -> str:
    """LLVM and the processor that it compiles for: part of the cache's key."""
    binding = llvm()
    features = binding.get_host_cpu_features().flatten()
    return f"{version()} {binding.get_host_cpu_name()} {features}"


@functools.cache
def _target_machine(level: int) -> Any:
    binding = llvm()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=level,
        reloc="pic",
        codemodel="small",
        jit=True,
    )


def compile_text(text: str, checked: bool, optimised: bool = True) -> bytes:
    """Object code of a module in LLVM's language.

    What is not `optimised` comes in a tenth of the time, as each instruction is written, and runs
    as fast where the runtime is called all the time, otherwise up to four times as long.
    """
    binding = llvm()
    level = 2 if optimised else 0
    machine = _target_machine(level)
    # In a context of its own: the types and constants of the one of the process are never freed.
    module = binding.parse_assembly(text, binding.create_context())
    module.triple = machine.triple
    options = binding.create_pipeline_tuning_options(level)
    options.loop_vectorization = not checked
    options.slp_vectorization = not checked
    options.loop_unrolling = not checked
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


_engines: list[Any] = []  # what is loaded stays: arrays and other code may point into it


def load(code: bytes, entry: str) -> int:
    """Address of an entry of object code, put into memory."""
    binding = llvm()
    # Its own memory manager has all sections of an object side by side. That of LLVM takes each
    # from where there is room: beyond 2 GB of the others, once large arrays lie between. Code that
    # names its constants by 32 bits reaches no further, and the process ends.
    engine = binding.create_mcjit_compiler(
        binding.parse_assembly(""), _target_machine(2), use_lmm=True
    )
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    address = engine.get_function_address(entry)
    if not address:
        raise RuntimeError(f"{entry} is not in the object code")
    return int(address)
