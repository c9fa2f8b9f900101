/* SVDF: each filter keeps its last outputs and weighs them over time. */
#include "fixed_point.h"
#include "kernels.h"

static int32_t feature(const hilnas_svdf *layer, const int8_t *weights, const int8_t *input) {
    int32_t sum = 0;
    for (int32_t i = 0; i < layer->inputs; i++) {
        sum += weights[i] * (input[i] - layer->input_zero_point);
    }
    return hilnas_scale(sum, layer->feature_multiplier, layer->feature_shift) + layer->state_zero_point;
}

static int32_t weighed_over_time(const hilnas_svdf *layer, const int8_t *weights, const int8_t *state) {
    int32_t sum = 0;
    for (int32_t t = 0; t < layer->steps; t++) {
        sum += weights[t] * (state[t] - layer->state_zero_point);
    }
    return sum;
}

void hilnas_filter_svdf(const hilnas_svdf *layer, const int8_t *input, int8_t *state, int8_t *output) {
    const int32_t steps = layer->steps;
    for (int32_t f = 0; f < layer->filters; f++) {
        int8_t *history = state + f * steps;
        for (int32_t t = 0; t < steps - 1; t++) {
            history[t] = history[t + 1];
        }
        const int32_t value = feature(layer, layer->features + f * layer->inputs, input);
        history[steps - 1] = (int8_t)hilnas_clamp(value, INT8_MIN, INT8_MAX);
    }
    for (int32_t unit = 0; unit < layer->filters / layer->rank; unit++) {
        int32_t sum = layer->bias ? layer->bias[unit] : 0;
        for (int32_t f = unit * layer->rank; f < (unit + 1) * layer->rank; f++) {
            sum += weighed_over_time(layer, layer->times + f * steps, state + f * steps);
        }
        const int32_t value = hilnas_scale(sum, layer->multiplier, layer->shift) + layer->output.zero_point;
        output[unit] = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
    }
}
