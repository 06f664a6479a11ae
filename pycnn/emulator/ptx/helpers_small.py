"""16-bit formats, kept as i16, and TF32: functions in LLVM's language, for `helpers`."""

TEXTS: list[str] = []

TEXTS.append("""define float @px_f32_of_f16(i16 %h) {
  %x = bitcast i16 %h to half
  %f = fpext half %x to float
  ret float %f
}""")

TEXTS.append("""define i16 @px_f16_of_f32_rn(float %f) {
  %h = fptrunc float %f to half
  %b = bitcast half %h to i16
  %nan = fcmp uno float %f, 0.0
  %r = select i1 %nan, i16 32767, i16 %b
  ret i16 %r
}""")

for _mode in ("rz", "rm", "rp"):
    _wrong = {
        "rz": "%ga = call float @llvm.fabs.f32(float %g)\n"
              "  %fa = call float @llvm.fabs.f32(float %f)\n  %wrong = fcmp ogt float %ga, %fa",
        "rm": "%wrong = fcmp ogt float %g, %f",
        "rp": "%wrong = fcmp olt float %g, %f",
    }[_mode]  # fmt: skip
    _sign = {"rz": "-1", "rm": "%down", "rp": "%up"}[_mode]
    TEXTS.append(f"""define i16 @px_f16_of_f32_{_mode}(float %f) {{
  %b = call i16 @px_f16_of_f32_rn(float %f)
  %g = call float @px_f32_of_f16(i16 %b)
  {_wrong}
  %negative = icmp slt i16 %b, 0
  %down = select i1 %negative, i16 1, i16 -1
  %up = select i1 %negative, i16 -1, i16 1
  %step = select i1 %wrong, i16 {_sign}, i16 0
  %r = add i16 %b, %step
  ret i16 %r
}}""")

TEXTS.append("""define float @px_f32_of_bf16(i16 %h) {
  %w = zext i16 %h to i32
  %s = shl i32 %w, 16
  %f = bitcast i32 %s to float
  ret float %f
}""")

TEXTS.append("""define i16 @px_bf16_of_f32_rn(float %f) {
  %b = bitcast float %f to i32
  %s = lshr i32 %b, 16
  %l = and i32 %s, 1
  %h = add i32 %l, 32767
  %u = add i32 %b, %h
  %t = lshr i32 %u, 16
  %r = trunc i32 %t to i16
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i16 32767, i16 %r
  ret i16 %q
}""")

for _mode in ("rz", "rm", "rp"):
    _away = {"rz": "false", "rm": "%negative", "rp": "%positive"}[_mode]
    TEXTS.append(f"""define i16 @px_bf16_of_f32_{_mode}(float %f) {{
  %b = bitcast float %f to i32
  %t = lshr i32 %b, 16
  %z = trunc i32 %t to i16
  %low = and i32 %b, 65535
  %inexact = icmp ne i32 %low, 0
  %negative = icmp slt i32 %b, 0
  %positive = xor i1 %negative, true
  %away = and i1 %inexact, {_away}
  %i = zext i1 %away to i16
  %m = add i16 %z, %i
  %nan = fcmp uno float %f, 0.0
  %r = select i1 %nan, i16 32767, i16 %m
  ret i16 %r
}}""")

# float32 to TF32: 10 bits of mantissa are kept, ties away from zero or to even.
TEXTS.append("""define i32 @px_tf32_rna(float %f) {
  %b = bitcast float %f to i32
  %u = add i32 %b, 4096
  %r = and i32 %u, -8192
  %a = call float @llvm.fabs.f32(float %f)
  %inf = fcmp ueq float %a, 0x7FF0000000000000
  %nan = fcmp uno float %f, 0.0
  %k = select i1 %inf, i32 %b, i32 %r
  %q = select i1 %nan, i32 2147483647, i32 %k
  ret i32 %q
}""")
TEXTS.append("""define i32 @px_tf32_rn(float %f) {
  %b = bitcast float %f to i32
  %s = lshr i32 %b, 13
  %l = and i32 %s, 1
  %h = add i32 %l, 4095
  %u = add i32 %b, %h
  %r = and i32 %u, -8192
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i32 2147483647, i32 %r
  ret i32 %q
}""")
TEXTS.append("""define i32 @px_tf32_rz(float %f) {
  %b = bitcast float %f to i32
  %r = and i32 %b, -8192
  %nan = fcmp uno float %f, 0.0
  %q = select i1 %nan, i32 2147483647, i32 %r
  ret i32 %q
}""")

# The fused product-sum, exact until its one rounding: the product of 11 bits each is exact in
# float64, the sum is rounded to odd.
for _format in ("f16", "bf16"):
    TEXTS.append(f"""define float @px_fma_odd_{_format}(i16 %a, i16 %b, i16 %c) {{
  %fa = call float @px_f32_of_{_format}(i16 %a)
  %fb = call float @px_f32_of_{_format}(i16 %b)
  %fc = call float @px_f32_of_{_format}(i16 %c)
  %x = fpext float %fa to double
  %y = fpext float %fb to double
  %z = fpext float %fc to double
  %p = fmul double %x, %y
  %s = call double @px_add_odd(double %p, double %z)
  %r = call float @px_f32_of_f64_odd(double %s)
  ret float %r
}}""")
