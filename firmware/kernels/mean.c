/* MEAN over neighbouring axes. */
#include "fixed_point.h"
#include "kernels.h"

void hilnas_reduce_mean(const hilnas_reduction *layer, const int8_t *input, int8_t *output) {
    for (int32_t outer = 0; outer < layer->outer; outer++, input += layer->reduced * layer->inner) {
        for (int32_t inner = 0; inner < layer->inner; inner++) {
            int32_t sum = layer->bias;
            for (int32_t i = 0; i < layer->reduced; i++) {
                sum += input[i * layer->inner + inner];
            }
            const int32_t value = hilnas_scale(sum, layer->multiplier, layer->shift) + layer->output.zero_point;
            *output++ = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
        }
    }
}
