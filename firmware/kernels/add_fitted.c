/* ADD as one plane through all pairs of operands, four elements at a time. */
#include "assembly.h"

enum { SHIFT = 21 };

void hilnas_add_fitted(const hilnas_fitted_addition *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    const int32_t fours = layer->elements / 4;
    if (fours > 0) {
        hilnas_add_fours(fours, first, second, output, layer->a, layer->b, layer->c);
    }
    for (int32_t i = 4 * fours; i < layer->elements; i++) {
        const int32_t value = (layer->a * first[i] + layer->b * second[i] + layer->c) >> SHIFT;
        output[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}
