/* ADD of two tensors of one shape. */
#include "fixed_point.h"
#include "kernels.h"

/* Both operands gain these bits before they are brought to a common scale. */
enum { HEADROOM_BITS = 20 };

static int32_t operand(const hilnas_operand *scale, int8_t value) {
    return hilnas_scale((value - scale->zero_point) * (1 << HEADROOM_BITS), scale->multiplier, scale->shift);
}

static void add(const hilnas_addition *layer, int32_t elements, const int8_t *first, const int8_t *second,
                int8_t *output) {
    for (int32_t i = 0; i < elements; i++) {
        const int32_t sum = operand(&layer->first, first[i]) + operand(&layer->second, second[i]);
        const int32_t value = hilnas_scale(sum, layer->multiplier, layer->shift) + layer->output.zero_point;
        output[i] = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
    }
}

void hilnas_add_rows(const hilnas_addition *layer, const hilnas_rows *first, const hilnas_rows *second,
                     int32_t first_row, int32_t count, int8_t *output) {
    for (int32_t y = first_row; y < first_row + count; y++, output += first->pitch) {
        add(layer, first->pitch, hilnas_row(first, y), hilnas_row(second, y), output);
    }
}

void hilnas_add(const hilnas_addition *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    add(layer, layer->elements, first, second, output);
}
