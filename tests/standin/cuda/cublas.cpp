// cuBLAS, as far as cupy.matmul uses it for two matrices: cublasGemmEx, by NumPy.

#include <cublas_v2.h>

#include "standin.h"

using namespace standin;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
    *handle = reinterpret_cast<cublasHandle_t>(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

// alpha and beta are the host's: another pointer mode is refused (it is not defined here).
cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t transpose_a,
                            cublasOperation_t transpose_b, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType type_a, int lda, const void* b,
                            cudaDataType type_b, int ldb, const void* beta, void* c,
                            cudaDataType type_c, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
    for (const void* p : {a, b, static_cast<const void*>(c)})
        if (device_of(p, 0) < 0) return CUBLAS_STATUS_EXECUTION_FAILED;
    if (captures_any()) return CUBLAS_STATUS_NOT_SUPPORTED;  // the stand-in keeps no stream of it
    ++counters.products;
    Product product{transpose_a, transpose_b, m, n, k, type_a, lda, type_b, ldb, type_c, ldc,
                    compute, alpha, a, b, beta, c};
    return hooks.product(&product) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
