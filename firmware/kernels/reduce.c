/* MEAN, REDUCE_MAX and REDUCE_MIN over any axes. */
#pragma GCC optimize("Os") /* a load and an addition for each input either way */
#include "fixed_point.h"
#include "kernels.h"

typedef int32_t (*reduction)(const hilnas_reduction *layer, const int8_t *input);

static inline __attribute__((always_inline)) void for_each(const hilnas_reduction *layer, reduction reduced,
                                                           const int8_t *input, int8_t *output) {
    const int32_t *sizes = layer->kept, *strides = layer->kept_strides;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                *output++ = (int8_t)reduced(layer, input + i * strides[0] + j * strides[1] + k * strides[2]);
            }
        }
    }
}

static int32_t mean(const hilnas_reduction *layer, const int8_t *input) {
    const int32_t *sizes = layer->reduced, *strides = layer->reduced_strides;
    int32_t sum = layer->bias;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            const int8_t *row = input + i * strides[0] + j * strides[1];
            for (int32_t k = 0; k < sizes[2]; k++) {
                sum += row[k * strides[2]];
            }
        }
    }
    const int32_t value = hilnas_scale(sum, layer->multiplier, layer->shift) + layer->output.zero_point;
    return hilnas_clamp(value, layer->output.low, layer->output.high);
}

/* The largest of sign * value, times sign. */
static inline __attribute__((always_inline)) int32_t extremum(const hilnas_reduction *layer, const int8_t *input,
                                                              int32_t sign) {
    const int32_t *sizes = layer->reduced, *strides = layer->reduced_strides;
    int32_t largest = sign * *input;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                const int32_t value = sign * input[i * strides[0] + j * strides[1] + k * strides[2]];
                largest = value > largest ? value : largest;
            }
        }
    }
    return sign * largest;
}

static int32_t maximum(const hilnas_reduction *layer, const int8_t *input) {
    return extremum(layer, input, 1);
}

static int32_t minimum(const hilnas_reduction *layer, const int8_t *input) {
    return extremum(layer, input, -1);
}

void hilnas_reduce_mean(const hilnas_reduction *layer, const int8_t *input, int8_t *output) {
    for_each(layer, mean, input, output);
}

void hilnas_reduce_maximum(const hilnas_reduction *layer, const int8_t *input, int8_t *output) {
    for_each(layer, maximum, input, output);
}

void hilnas_reduce_minimum(const hilnas_reduction *layer, const int8_t *input, int8_t *output) {
    for_each(layer, minimum, input, output);
}
