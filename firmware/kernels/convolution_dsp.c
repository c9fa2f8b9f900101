/* CONV_2D for cores with the DSP extension: two pixels and four output channels at a time.
 *
 * The window of each pixel is gathered into columns of 16-bit lanes, four inputs in the order 0, 2, 1, 3, both pixels side by
 * side. A weight halfword holds two output channels, 256 a + b. One multiplication with it gives 256 A + B, one with its low byte
 * alone gives B: the difference is 256 A, exact while |A| < 2^23. Zero points are folded into the bias, and channels are padded
 * to a multiple of four, runs of inputs to a multiple of four, with zero weights. */
#include "dsp.h"
#include "fixed_point.h"
#include "kernels.h"

static int32_t padded_run(const hilnas_geometry *g) {
    return (g->window_width * g->input_channels + 3) & ~3;
}

/* Widens `bytes` (rounded up to four) from `from` into every second word of `column`. */
static uint32_t *widen(const int8_t *from, int32_t bytes, uint32_t *column) {
    for (; bytes >= 4; bytes -= 4, from += 4, column += 4) {
        const uint32_t word = hilnas_load(from);
        column[0] = hilnas_even_bytes(word);
        column[2] = hilnas_odd_bytes(word);
    }
    if (bytes > 0) {
        uint32_t word = 0;
        memcpy(&word, from, (uint32_t)bytes);
        column[0] = hilnas_even_bytes(word);
        column[2] = hilnas_odd_bytes(word);
        column += 4;
    }
    return column;
}

/* One row of a window that leaves the image or is dilated, tap by tap into `run`. */
static void gather_run(const hilnas_convolution *layer, const int8_t *input, int32_t y, int32_t left, int8_t *run) {
    const hilnas_geometry *g = &layer->geometry;
    const uint32_t channels = (uint32_t)g->input_channels;
    for (int32_t kx = 0; kx < g->window_width; kx++, run += channels) {
        const int32_t x = left + kx * g->dilation_x;
        if (y < 0 || y >= g->input_height || x < 0 || x >= g->input_width) {
            memset(run, layer->input_zero_point, channels);
        } else {
            memcpy(run, input + (y * g->input_width + x) * g->input_channels, channels);
        }
    }
}

static void gather_window(const hilnas_convolution *layer, const int8_t *input, int32_t pixel, uint32_t *column, int8_t *run) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t oy = pixel / g->output_width, ox = pixel - oy * g->output_width;
    const int32_t left = ox * g->stride_x - g->pad_left;
    const int32_t inside = left >= 0 && left + g->window_width <= g->input_width && g->dilation_x == 1;
    int32_t y = oy * g->stride_y - g->pad_top;
    for (int32_t ky = 0; ky < g->window_height; ky++, y += g->dilation_y) {
        const int8_t *from = input + (y * g->input_width + left) * g->input_channels;
        if (!inside || y < 0 || y >= g->input_height) {
            gather_run(layer, input, y, left, run);
            from = run;
        }
        column = widen(from, g->window_width * g->input_channels, column);
    }
}

/* The sums of four channels for two pixels: sums[2 * channel + pixel]. Returns the weights behind those that it used. */
static inline const uint32_t *multiply(const uint32_t *weights, const uint32_t *columns, const uint32_t *end, int32_t sums[8]) {
    int32_t s00 = 0, s01 = 0, s20 = 0, s21 = 0, b00 = 0, b01 = 0, b20 = 0, b21 = 0;
#pragma GCC unroll 2
    do {
        const uint32_t first = columns[0], second = columns[1];
        const uint32_t w0 = weights[0], w2 = weights[1];
        const uint32_t low0 = hilnas_even_bytes(w0), low2 = hilnas_even_bytes(w2);
        s00 = hilnas_smlad(w0, first, s00);
        s01 = hilnas_smlad(w0, second, s01);
        b00 = hilnas_smlad(low0, first, b00);
        b01 = hilnas_smlad(low0, second, b01);
        s20 = hilnas_smlad(w2, first, s20);
        s21 = hilnas_smlad(w2, second, s21);
        b20 = hilnas_smlad(low2, first, b20);
        b21 = hilnas_smlad(low2, second, b21);
        columns += 2;
        weights += 2;
    } while (columns != end);
    sums[0] = (int32_t)((uint32_t)s00 - (uint32_t)b00) >> 8;
    sums[1] = (int32_t)((uint32_t)s01 - (uint32_t)b01) >> 8;
    sums[2] = b00;
    sums[3] = b01;
    sums[4] = (int32_t)((uint32_t)s20 - (uint32_t)b20) >> 8;
    sums[5] = (int32_t)((uint32_t)s21 - (uint32_t)b21) >> 8;
    sums[6] = b20;
    sums[7] = b21;
    return weights;
}

/* The outputs of four channels of one pixel, a byte each. `sums` is the first of every second sum. */
static inline uint32_t outputs_of(const hilnas_output *range, const hilnas_channel *channels, const int32_t *sums) {
    uint32_t bytes = 0;
#pragma GCC unroll 4
    for (int32_t c = 0; c < 4; c++) {
        const int32_t shift = channels[c].shift, offset = (2 * range->zero_point + 1) * (1 << (shift - 1));
        const hilnas_bounded_scale scale = {channels[c].multiplier, shift, offset};
        const int32_t value = hilnas_scale_bounded(sums[2 * c] + channels[c].bias, scale);
        bytes |= ((uint32_t)hilnas_clamp(value, range->low, range->high) & 0xFFu) << (8 * c);
    }
    return bytes;
}

static inline void store_channels(int8_t *output, uint32_t bytes, int32_t count) {
    if (count >= 4) {
        hilnas_store(output, bytes);
        return;
    }
    for (; count > 0; count--, bytes >>= 8) {
        *output++ = (int8_t)(uint8_t)bytes;
    }
}

void hilnas_convolve_dsp(const hilnas_convolution *layer, const int8_t *input, int8_t *output, int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t depth = g->window_height * padded_run(g), channels = g->output_channels;
    const int32_t pixels = g->output_height * g->output_width;
    uint32_t *columns = (uint32_t *)(void *)scratch;
    int8_t *run = scratch + 4 * depth;
    for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
        const int32_t next = pixel + 1 < pixels ? pixel + 1 : pixel;
        gather_window(layer, input, pixel, columns, run);
        gather_window(layer, input, next, columns + 1, run);
        const uint32_t *weights = layer->weights;
        int8_t *first = output + pixel * channels, *second = output + next * channels;
        for (int32_t o = 0; o < channels; o += 4) {
            int32_t sums[8];
            weights = multiply(weights, columns, columns + depth, sums);
            store_channels(first + o, outputs_of(&layer->output, &layer->channels[o], sums), channels - o);
            store_channels(second + o, outputs_of(&layer->output, &layer->channels[o], sums + 1), channels - o);
        }
    }
}
