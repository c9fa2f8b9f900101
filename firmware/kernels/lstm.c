/* UNIDIRECTIONAL_SEQUENCE_LSTM with an int16 cell: four gates, no peepholes, no projection. */
#include "fixed_point.h"
#include "fixed_point_16.h"
#include "kernels.h"

enum { INPUT, FORGET, CELL, OUTPUT, GATES };

static int32_t dot(const int8_t *weights, const int8_t *values, int32_t count) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += weights[i] * values[i];
    }
    return sum;
}

/* What goes into a gate's function, in Q3.12. */
static int32_t excitation(const hilnas_lstm *layer, const hilnas_gate *gate, int32_t cell, const int8_t *input,
                          const int8_t *hidden) {
    const int32_t from_input = gate->bias[cell] + dot(gate->weights + cell * layer->inputs, input, layer->inputs);
    const int32_t from_hidden = gate->hidden_bias[cell] + dot(gate->hidden + cell * layer->cells, hidden, layer->cells);
    const int32_t first = hilnas_saturated_16(hilnas_scale(from_input, gate->multiplier, gate->shift));
    return hilnas_saturated_16(first + hilnas_scale(from_hidden, gate->hidden_multiplier, gate->hidden_shift));
}

static int16_t next_cell(const hilnas_lstm *layer, const int16_t *gates, int16_t cell) {
    const int32_t kept = hilnas_divide_by_power_of_two(gates[FORGET] * cell, 15);
    const int32_t added = hilnas_divide_by_power_of_two(gates[INPUT] * gates[CELL], 15 + layer->cell_integer_bits);
    const int32_t sum = hilnas_saturated_16((int16_t)kept + (int16_t)added);
    return (int16_t)hilnas_clamp(sum, -layer->cell_limit, layer->cell_limit);
}

static void step(const hilnas_lstm *layer, const int8_t *input, int8_t *hidden, int16_t *cells, int8_t *output) {
    for (int32_t c = 0; c < layer->cells; c++) {
        int16_t gates[GATES];
        for (int32_t g = 0; g < GATES; g++) {
            const int32_t value = excitation(layer, &layer->gates[g], c, input, hidden);
            gates[g] = (int16_t)(g == CELL ? hilnas_tanh_16(value, 12) : hilnas_logistic_16(value));
        }
        cells[c] = next_cell(layer, gates, cells[c]);
        const int32_t product = gates[OUTPUT] * hilnas_tanh_16(cells[c], 15 - layer->cell_integer_bits);
        const int32_t value = hilnas_scale(product, layer->multiplier, layer->shift) + layer->output_zero_point;
        output[c] = (int8_t)hilnas_clamp(value, INT8_MIN, INT8_MAX);
    }
    for (int32_t c = 0; c < layer->cells; c++) {
        hidden[c] = output[c];
    }
}

void hilnas_run_lstm(const hilnas_lstm *layer, const int8_t *input, int8_t *hidden, void *cells, int8_t *output) {
    for (int32_t t = 0; t < layer->steps; t++, input += layer->inputs, output += layer->cells) {
        step(layer, input, hidden, cells, output);
    }
}
