/* Operators on the elements of two tensors, one of which may be repeated along some axes. */
#include "fixed_point.h"
#include "kernels.h"

/* Both operands of a sum gain these bits before they are brought to a common scale. */
enum { HEADROOM_BITS = 20 };

typedef int32_t (*operation)(const hilnas_elementwise *layer, int32_t first, int32_t second);

static inline __attribute__((always_inline)) void for_each(const hilnas_elementwise *layer, operation combine,
                                                           const int8_t *first, const int8_t *second, int8_t *output) {
    const int32_t *sizes = layer->sizes, *a = layer->first_strides, *b = layer->second_strides;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                const int8_t *x = first + i * a[0] + j * a[1] + k * a[2];
                const int8_t *y = second + i * b[0] + j * b[1] + k * b[2];
                for (int32_t l = 0; l < sizes[3]; l++, x += a[3], y += b[3]) {
                    *output++ = (int8_t)combine(layer, *x, *y);
                }
            }
        }
    }
}

static int32_t common_scale(const hilnas_operand *operand, int32_t value) {
    return hilnas_scale((value - operand->zero_point) * (1 << HEADROOM_BITS), operand->multiplier, operand->shift);
}

static int32_t output_of(const hilnas_elementwise *layer, int32_t value) {
    const int32_t scaled = hilnas_scale(value, layer->multiplier, layer->shift) + layer->output.zero_point;
    return hilnas_clamp(scaled, layer->output.low, layer->output.high);
}

static int32_t sum(const hilnas_elementwise *layer, int32_t first, int32_t second) {
    return output_of(layer, common_scale(&layer->first, first) + common_scale(&layer->second, second));
}

static int32_t difference(const hilnas_elementwise *layer, int32_t first, int32_t second) {
    return output_of(layer, common_scale(&layer->first, first) - common_scale(&layer->second, second));
}

static int32_t product(const hilnas_elementwise *layer, int32_t first, int32_t second) {
    return output_of(layer, (first - layer->first.zero_point) * (second - layer->second.zero_point));
}

static int32_t larger(const hilnas_elementwise *layer, int32_t first, int32_t second) {
    (void)layer;
    return first > second ? first : second;
}

static int32_t smaller(const hilnas_elementwise *layer, int32_t first, int32_t second) {
    (void)layer;
    return first < second ? first : second;
}

void hilnas_add_broadcast(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    for_each(layer, sum, first, second, output);
}

void hilnas_subtract(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    for_each(layer, difference, first, second, output);
}

void hilnas_multiply(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    for_each(layer, product, first, second, output);
}

void hilnas_maximum(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    for_each(layer, larger, first, second, output);
}

void hilnas_minimum(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    for_each(layer, smaller, first, second, output);
}
