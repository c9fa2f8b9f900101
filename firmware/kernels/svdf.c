/* SVDF: each filter keeps its last outputs and weighs them over time. Compiled for a type of state, HILNAS_STATE (int8
 * or int16), which is also that of the weights over time. */
#include "fixed_point.h"
#include "kernels.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define STATE JOIN(HILNAS_STATE, _t)

enum { LARGEST = (1 << (8 * sizeof(STATE) - 1)) - 1 };

static int32_t feature(const hilnas_svdf *layer, const int8_t *weights, const int8_t *input) {
    int32_t sum = 0;
    for (int32_t i = 0; i < layer->inputs; i++) {
        sum += weights[i] * (input[i] - layer->input_zero_point);
    }
    return hilnas_scale(sum, layer->feature_multiplier, layer->feature_shift) + layer->state_zero_point;
}

static int32_t weighed_over_time(const hilnas_svdf *layer, const STATE *weights, const STATE *state) {
    int32_t sum = 0;
    for (int32_t t = 0; t < layer->steps; t++) {
        sum += weights[t] * (state[t] - layer->state_zero_point);
    }
    return sum;
}

void JOIN(hilnas_filter_svdf_, HILNAS_STATE)(const hilnas_svdf *layer, const int8_t *input, void *state,
                                             int8_t *output) {
    const int32_t steps = layer->steps;
    STATE *histories = state;
    const STATE *times = layer->times;
    for (int32_t f = 0; f < layer->filters; f++) {
        STATE *history = histories + f * steps;
        for (int32_t t = 0; t < steps - 1; t++) {
            history[t] = history[t + 1];
        }
        const int32_t value = feature(layer, layer->features + f * layer->inputs, input);
        history[steps - 1] = (STATE)hilnas_clamp(value, -LARGEST - 1, LARGEST);
    }
    for (int32_t unit = 0; unit < layer->filters / layer->rank; unit++) {
        int32_t sum = layer->bias ? layer->bias[unit] : 0;
        for (int32_t f = unit * layer->rank; f < (unit + 1) * layer->rank; f++) {
            sum += weighed_over_time(layer, times + f * steps, histories + f * steps);
        }
        const int32_t value = hilnas_scale(sum, layer->multiplier, layer->shift) + layer->output_zero_point;
        output[unit] = (int8_t)hilnas_clamp(value, INT8_MIN, INT8_MAX);
    }
}
