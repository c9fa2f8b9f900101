/* TRANSPOSE of up to four axes. */
#include "kernels.h"

void hilnas_transpose(const hilnas_permutation *layer, const int8_t *input, int8_t *output) {
    const int32_t *sizes = layer->sizes, *strides = layer->strides;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                const int8_t *from = input + i * strides[0] + j * strides[1] + k * strides[2];
                for (int32_t l = 0; l < sizes[3]; l++) {
                    *output++ = from[l * strides[3]];
                }
            }
        }
    }
}
