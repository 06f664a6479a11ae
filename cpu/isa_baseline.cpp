// For any processor that the compiler is set to.
#include "buffer.h"
#include "table.h"

#define PYCNN_BYTES 16
#define PYCNN_ISA baseline
#define PYCNN_NAME "baseline"
#include "isa.h"
