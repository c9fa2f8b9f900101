/* FULLY_CONNECTED, the portable form. */
#include "fixed_point.h"
#include "kernels.h"

void hilnas_connect_fully(const hilnas_fully_connected *layer, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < layer->rows; row++, input += layer->depth) {
        const int8_t *weights = layer->weights;
        for (int32_t o = 0; o < layer->channels; o++, weights += layer->depth) {
            const hilnas_channel *scale = &layer->scales[o];
            int32_t sum = scale->bias;
            for (int32_t i = 0; i < layer->depth; i++) {
                sum += weights[i] * (input[i] - layer->input_zero_point);
            }
            const int32_t value = hilnas_scale(sum, scale->multiplier, scale->shift) + layer->output.zero_point;
            *output++ = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
        }
    }
}
