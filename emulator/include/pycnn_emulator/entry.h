// How the runtime calls a kernel it knows nothing about: a table of entries, each with the kinds
// and sizes of its parameters, read off the kernel's type.
#pragma once

namespace pycnn_emu {

template <typename T>
constexpr Argument describe() {
    using U = std::remove_cv_t<T>;
    using Target = std::remove_pointer_t<U>;
    ArgumentKind kind = std::is_pointer<U>::value          ? std::is_const<Target>::value
                                                                 ? kConstPointer
                                                                 : kPointer
                        : std::is_same<U, bool>::value     ? kBool
                        : std::is_floating_point<U>::value ? kFloat
                        : std::is_enum<U>::value           ? kSigned
                        : !std::is_integral<U>::value      ? kStruct
                        : std::is_signed<U>::value         ? kSigned
                                                           : kUnsigned;
    return Argument{kind, static_cast<int>(sizeof(U))};
}

template <typename Kernel, Kernel* kernel>
struct EntryOf;

template <typename... Parameters, void (*kernel)(Parameters...)>
struct EntryOf<void(Parameters...), kernel> {
    static constexpr int count = sizeof...(Parameters);
    static constexpr Argument arguments[] = {describe<Parameters>()..., Argument{kStruct, 0}};

    template <size_t... I>
    __attribute__((always_inline)) static void call(void* const* args, std::index_sequence<I...>) {
        (void)args;
        kernel(*static_cast<std::remove_cv_t<Parameters>*>(args[I])...);
    }
    PYCNN_EMU_UNCHECKED static void invoke(void* const* args) {
        call(args, std::index_sequence_for<Parameters...>());
    }
};

}  // namespace pycnn_emu
