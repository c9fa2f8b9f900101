/* FULLY_CONNECTED, the portable form. */
#pragma GCC optimize("Os") /* a load and an addition for each input either way */
#include "kernels.h"

static int8_t output_of(const hilnas_output *output, const hilnas_wide_channel *scale, int32_t sum) {
    const int64_t product = (int64_t)sum * scale->high + (((int64_t)sum * scale->low) >> 32);
    const int64_t value = ((product + (1ll << (scale->shift - 1))) >> scale->shift) + output->zero_point;
    return (int8_t)(value < output->low ? output->low : value > output->high ? output->high : value);
}

void hilnas_connect_fully(const hilnas_fully_connected *layer, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < layer->rows; row++, input += layer->depth) {
        const int8_t *weights = layer->weights;
        for (int32_t o = 0; o < layer->channels; o++, weights += layer->depth) {
            int32_t sum = layer->scales[o].bias;
            for (int32_t i = 0; i < layer->depth; i++) {
                sum += weights[i] * (input[i] - layer->input_zero_point);
            }
            *output++ = output_of(&layer->output, &layer->scales[o], sum);
        }
    }
}
