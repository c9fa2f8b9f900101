/* TRANSPOSE_CONV: each output gathers the inputs whose windows cover it. */
#include "fixed_point.h"
#include "kernels.h"

static int32_t dot(const hilnas_geometry *g, int32_t zero_point, const int8_t *pixel, const int8_t *weights) {
    int32_t sum = 0;
    for (int32_t c = 0; c < g->input_channels; c++) {
        sum += weights[c] * (pixel[c] - zero_point);
    }
    return sum;
}

/* `bottom` and `right`: the place of the output in the frame in which input (0, 0) puts its window at (0, 0). */
static int32_t accumulate(const hilnas_geometry *g, int32_t zero_point, const int8_t *input, const int8_t *weights,
                          int32_t bottom, int32_t right) {
    int32_t sum = 0;
    for (int32_t ky = 0; ky < g->window_height; ky++) {
        const int32_t y = (bottom - ky) / g->stride_y;
        if (bottom < ky || y * g->stride_y != bottom - ky || y >= g->input_height) {
            continue;
        }
        for (int32_t kx = 0; kx < g->window_width; kx++) {
            const int32_t x = (right - kx) / g->stride_x;
            if (right < kx || x * g->stride_x != right - kx || x >= g->input_width) {
                continue;
            }
            const int32_t place = ky * g->window_width + kx;
            sum += dot(g, zero_point, input + (y * g->input_width + x) * g->input_channels,
                       weights + place * g->input_channels);
        }
    }
    return sum;
}

void hilnas_convolve_transposed(const hilnas_convolution *layer, const int8_t *input, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t filter = g->window_height * g->window_width * g->input_channels;
    for (int32_t oy = 0; oy < g->output_height; oy++) {
        for (int32_t ox = 0; ox < g->output_width; ox++) {
            const int8_t *weights = layer->weights;
            for (int32_t o = 0; o < g->output_channels; o++, weights += filter) {
                const hilnas_channel *channel = &layer->channels[o];
                const int32_t sum = channel->bias + accumulate(g, layer->input_zero_point, input, weights,
                                                               oy + g->pad_top, ox + g->pad_left);
                const int32_t value = hilnas_scale(sum, channel->multiplier, channel->shift) + layer->output.zero_point;
                *output++ = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
            }
        }
    }
}
