/* DEPTHWISE_CONV_2D for cores with the DSP extension: four channels at a time, rows turned into 16-bit lanes of one
 * channel.
 *
 * Compiled for one window width, HILNAS_TAPS (odd, at least 3), and one horizontal stride, HILNAS_STRIDE (1 or 2). Each
 * input row is turned once, into a ring of as many rows as the window has; so the output may overwrite the input where
 * their shapes agree. Weights of a row become pairs: (w0 w1) (w2 w3) ... for outputs that start at an even lane, and
 * (w1 w2) (w3 w4) ... for those that start at an odd one, whose w0 comes from the first pair. */
#include "dsp.h"
#include "fixed_point.h"
#include "kernels.h"

#define PASTE(taps, stride) hilnas_convolve_depthwise_##taps##_##stride
#define NAME(taps, stride) PASTE(taps, stride)

enum {
    GROUP = 4,               /* channels at a time */
    PAIRS = HILNAS_TAPS / 2, /* whole pairs of weights in a row */
    STEP = 4,                /* outputs at a time */
    ROW_WEIGHTS = 2 * PAIRS  /* words of weights for a row */
};

typedef struct {
    int32_t lanes;     /* of one row of one channel, even */
    uint32_t *weights; /* channel, window row, ROW_WEIGHTS words */
    int16_t *ring;     /* window row, channel, lane */
} workspace;

/* Lanes of a row so that every step of STEP outputs finds what it reads. */
static int32_t row_lanes(const hilnas_geometry *g) {
    const int32_t outputs = (g->output_width + STEP - 1) / STEP * STEP;
    return (outputs * HILNAS_STRIDE + HILNAS_TAPS + 1) & ~1;
}

static void prepare_weights(const hilnas_geometry *g, const int8_t *weights, uint32_t *words) {
    for (int32_t c = 0; c < GROUP; c++) {
        for (int32_t ky = 0; ky < g->window_height; ky++, words += ROW_WEIGHTS) {
            uint32_t row[HILNAS_TAPS];
            for (int32_t kx = 0; kx < HILNAS_TAPS; kx++) {
                const int32_t weight =
                    kx < g->window_width ? weights[(ky * g->window_width + kx) * g->output_channels + c] : 0;
                row[kx] = (uint32_t)weight;
            }
            for (int32_t pair = 0; pair < PAIRS; pair++) {
                words[pair] = hilnas_low_lanes(row[2 * pair], row[2 * pair + 1]);
                words[PAIRS + pair] = hilnas_low_lanes(row[2 * pair + 1], row[2 * pair + 2]);
            }
        }
    }
}

static void fill_lanes(int16_t *row, int32_t from, int32_t to, int32_t value) {
    for (int32_t lane = from; lane < to; lane++) {
        row[lane] = (int16_t)value;
    }
}

/* Turns row `y` of four channels into lanes; a row outside the image holds the zero point. */
static void turn_row(const hilnas_convolution *layer, const int8_t *input, int32_t y, int16_t *ring, int32_t lanes) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t stride = g->input_channels;
    const int32_t inside = y >= 0 && y < g->input_height;
    /* Columns that no window reaches are left out. */
    const int32_t room = lanes - g->pad_left, columns = !inside ? 0 : g->input_width < room ? g->input_width : room;
    for (int32_t c = 0; c < GROUP; c++) {
        fill_lanes(ring + c * lanes, 0, g->pad_left, layer->input_zero_point);
        fill_lanes(ring + c * lanes, g->pad_left + columns, lanes, layer->input_zero_point);
    }
    const int8_t *from = input + y * g->input_width * stride;
    int16_t *to = ring + g->pad_left;
    int32_t x = 0;
    for (; x + 2 <= columns; x += 2, from += 2 * stride, to += 2) {
        const uint32_t first = hilnas_load(from), second = hilnas_load(from + stride);
        const uint32_t even = hilnas_even_bytes(first), next_even = hilnas_even_bytes(second);
        const uint32_t odd = hilnas_odd_bytes(first), next_odd = hilnas_odd_bytes(second);
        hilnas_store(to, hilnas_low_lanes(even, next_even));
        hilnas_store(to + lanes, hilnas_low_lanes(odd, next_odd));
        hilnas_store(to + 2 * lanes, hilnas_high_lanes(even, next_even));
        hilnas_store(to + 3 * lanes, hilnas_high_lanes(odd, next_odd));
    }
    for (; x < columns; x++, from += stride, to++) {
        for (int32_t c = 0; c < GROUP; c++) {
            to[c * lanes] = from[c];
        }
    }
}

/* Adds one row of the window to STEP neighbouring outputs. */
static inline void multiply_row(const int16_t *lanes, const uint32_t *weights, int32_t sums[STEP]) {
#if HILNAS_STRIDE == 1
#pragma GCC unroll 8
    for (int32_t pair = 0; pair < PAIRS + STEP / 2; pair++) {
        const uint32_t data = hilnas_load(lanes + 2 * pair);
#pragma GCC unroll 2
        for (int32_t out = 0; out < STEP; out += 2) {
            const int32_t k = pair - out / 2;
            if (k >= 0 && k < PAIRS) {
                sums[out] = hilnas_smlad(data, weights[k], sums[out]);
            } else if (k == PAIRS) {
                sums[out] = hilnas_smlabt(data, weights[2 * PAIRS - 1], sums[out]);
            }
            if (k == 0) {
                sums[out + 1] = hilnas_smlatb(data, weights[0], sums[out + 1]);
            } else if (k > 0 && k <= PAIRS) {
                sums[out + 1] = hilnas_smlad(data, weights[PAIRS + k - 1], sums[out + 1]);
            }
        }
    }
#else
#pragma GCC unroll 8
    for (int32_t pair = 0; pair < PAIRS + STEP; pair++) {
        const uint32_t data = hilnas_load(lanes + 2 * pair);
#pragma GCC unroll 4
        for (int32_t out = 0; out < STEP; out++) {
            const int32_t k = pair - out;
            if (k >= 0 && k < PAIRS) {
                sums[out] = hilnas_smlad(data, weights[k], sums[out]);
            } else if (k == PAIRS) {
                sums[out] = hilnas_smlabt(data, weights[2 * PAIRS - 1], sums[out]);
            }
        }
    }
#endif
}

/* One output row of one channel. `first_row` is where in the ring the window's top row is. */
static void convolve_row(const hilnas_convolution *layer, const workspace *work, int32_t c, int32_t first_row,
                         const hilnas_channel *channel, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const hilnas_output range = layer->output;
    const int32_t rows = g->window_height, pitch = GROUP * work->lanes;
    const hilnas_bounded_scale scale = {channel->multiplier, channel->shift,
                                        (2 * range.zero_point + 1) * (1 << (channel->shift - 1))};
    const int16_t *ring = work->ring + c * work->lanes;
    for (int32_t x = 0; x < g->output_width; x += STEP, ring += STEP * HILNAS_STRIDE) {
        int32_t sums[STEP] = {channel->bias, channel->bias, channel->bias, channel->bias};
        const uint32_t *weights = work->weights + c * rows * ROW_WEIGHTS;
        const int16_t *lanes = ring + first_row * pitch;
        for (int32_t ky = first_row; ky < rows; ky++, lanes += pitch, weights += ROW_WEIGHTS) {
            multiply_row(lanes, weights, sums);
        }
        lanes = ring;
        for (int32_t ky = 0; ky < first_row; ky++, lanes += pitch, weights += ROW_WEIGHTS) {
            multiply_row(lanes, weights, sums);
        }
        const int32_t count = g->output_width - x < STEP ? g->output_width - x : STEP;
#pragma GCC unroll 4
        for (int32_t out = 0; out < STEP; out++) {
            if (out < count) {
                *output = (int8_t)hilnas_clamp(hilnas_scale_bounded(sums[out], scale), range.low, range.high);
                output += g->output_channels;
            }
        }
    }
}

static void convolve_group(const hilnas_convolution *layer, const int8_t *input, int32_t channel, const workspace *work,
                           int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t rows = g->window_height, pitch = GROUP * work->lanes;
    int32_t turned = -g->pad_top; /* the next input row to turn */
    int32_t slot = 0;             /* where in the ring it goes */
    prepare_weights(g, (const int8_t *)layer->weights + channel, work->weights);
    for (int32_t oy = 0; oy < g->output_height; oy++) {
        const int32_t bottom = oy * g->stride_y - g->pad_top + rows;
        for (; turned < bottom; turned++, slot = slot + 1 < rows ? slot + 1 : 0) {
            turn_row(layer, input + channel, turned, work->ring + slot * pitch, work->lanes);
        }
        for (int32_t c = 0; c < GROUP; c++) {
            convolve_row(layer, work, c, slot, &layer->channels[channel + c],
                         output + oy * g->output_width * g->output_channels + channel + c);
        }
    }
}

void NAME(HILNAS_TAPS, HILNAS_STRIDE)(const hilnas_convolution *layer, const int8_t *input, int8_t *output,
                                      int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    workspace work;
    work.lanes = row_lanes(g);
    work.weights = (uint32_t *)(void *)scratch;
    work.ring = (int16_t *)(void *)(work.weights + GROUP * g->window_height * ROW_WEIGHTS);
    for (int32_t channel = 0; channel + GROUP <= g->output_channels; channel += GROUP) {
        convolve_group(layer, input, channel, &work, output);
    }
    if (g->output_channels % GROUP != 0) {
        convolve_group(layer, input, g->output_channels - GROUP, &work, output);
    }
}
