/* DEPTHWISE_CONV_2D, the portable form. */
#include "fixed_point.h"
#include "kernels.h"

static int32_t accumulate(const hilnas_geometry *g, int32_t zero_point, const hilnas_rows *input, const int8_t *weights,
                          int32_t top, int32_t left, int32_t channel) {
    int32_t sum = 0;
    for (int32_t ky = 0; ky < g->window_height; ky++) {
        const int32_t y = top + ky * g->dilation_y;
        for (int32_t kx = 0; kx < g->window_width; kx++, weights += g->output_channels) {
            const int32_t x = left + kx * g->dilation_x;
            if (y >= 0 && y < g->input_height && x >= 0 && x < g->input_width) {
                sum += *weights * (hilnas_row(input, y)[x * g->input_channels + channel] - zero_point);
            }
        }
    }
    return sum;
}

void hilnas_convolve_depthwise_rows(const hilnas_convolution *layer, const hilnas_rows *input, int32_t first,
                                    int32_t count, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const int8_t *weights = layer->weights;
    const int32_t multiplier = g->output_channels / g->input_channels;
    for (int32_t oy = first; oy < first + count; oy++) {
        for (int32_t ox = 0; ox < g->output_width; ox++) {
            const int32_t top = oy * g->stride_y - g->pad_top, left = ox * g->stride_x - g->pad_left;
            for (int32_t o = 0; o < g->output_channels; o++) {
                const hilnas_channel *channel = &layer->channels[o];
                const int32_t sum =
                    accumulate(g, layer->input_zero_point, input, weights + o, top, left, o / multiplier) +
                    channel->bias;
                const int32_t value = hilnas_scale(sum, channel->multiplier, channel->shift) + layer->output.zero_point;
                *output++ = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
            }
        }
    }
}

void hilnas_convolve_depthwise(const hilnas_convolution *layer, const int8_t *input, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const hilnas_rows rows = {input, g->input_width * g->input_channels, g->input_height};
    hilnas_convolve_depthwise_rows(layer, &rows, 0, g->output_height, output);
}
