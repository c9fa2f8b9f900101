/* SOFTMAX of int8 logits to int16 probabilities, scale 1 / 2^16. */
#include "kernels.h"
#include "softmax.h"

void hilnas_softmax_int16(const hilnas_softmax *layer, const int8_t *input, int16_t *output) {
    for (int32_t row = 0; row < layer->rows; row++, input += layer->classes, output += layer->classes) {
        const int32_t maximum = hilnas_row_maximum(layer, input);
        const hilnas_reciprocal reciprocal = hilnas_reciprocal_of_sum(layer, input, maximum);
        for (int32_t c = 0; c < layer->classes; c++) {
            const int32_t difference = maximum - input[c];
            int32_t probability = 0;
            if (difference < layer->exponential_count) {
                const int32_t product = hilnas_multiply_high(reciprocal.factor, layer->exponentials[difference]);
                probability = hilnas_divide_by_power_of_two(product, reciprocal.bits + 31 - 16);
            }
            output[c] = (int16_t)hilnas_clamp(probability + INT16_MIN, INT16_MIN, INT16_MAX);
        }
    }
}
