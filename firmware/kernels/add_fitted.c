/* ADD as one plane through all pairs of operands, four elements at a time. */
#pragma GCC optimize("Os") /* the time goes into the routine that it calls */
#include "assembly.h"

enum { SHIFT = 21 };

static void add(const hilnas_fitted_addition *layer, int32_t elements, const int8_t *first, const int8_t *second,
                int8_t *output) {
    const int32_t fours = elements / 4;
    if (fours > 0) {
        hilnas_add_fours(fours, first, second, output, layer->a, layer->b, layer->c);
    }
    for (int32_t i = 4 * fours; i < elements; i++) {
        const int32_t value = (layer->a * first[i] + layer->b * second[i] + layer->c) >> SHIFT;
        output[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}

void hilnas_add_fitted_rows(const hilnas_fitted_addition *layer, const hilnas_rows *first, const hilnas_rows *second,
                            int32_t first_row, int32_t count, int8_t *output) {
    for (int32_t y = first_row; y < first_row + count; y++, output += first->pitch) {
        add(layer, first->pitch, hilnas_row(first, y), hilnas_row(second, y), output);
    }
}

void hilnas_add_fitted(const hilnas_fitted_addition *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    add(layer, layer->elements, first, second, output);
}
