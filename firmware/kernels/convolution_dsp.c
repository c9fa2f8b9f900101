/* CONV_2D for cores with the DSP extension: two pixels and four output channels at a time.
 *
 * The window of each pixel is gathered into columns of 16-bit lanes, four inputs in the order 0, 2, 1, 3, both pixels
 * side by side. A weight halfword holds two output channels, 256 a + b. One multiplication with it gives 256 A + B, one
 * with its low byte alone gives B: the difference is 256 A, exact while |A| < 2^23. Zero points are folded into the
 * bias, and channels are padded to a multiple of four, runs of inputs to a multiple of four, with zero weights. */
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

static void gather_window(const hilnas_convolution *layer, const int8_t *input, int32_t pixel, uint32_t *column,
                          int8_t *run) {
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

/* The sums of four channels for two pixels, sums[2 * channel + pixel] with the even channels times 256 too large by
 * what the odd ones are. Returns the weights behind those that it used. `end` is at least four words behind `columns`.
 */
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly because the loop needs all registers: eight sums, two pointers and four operands. Its end is kept in s0.
 */
__attribute__((naked, noinline)) static const uint32_t *multiply(__attribute__((unused)) const uint32_t *weights,
                                                                 __attribute__((unused)) const uint32_t *columns,
                                                                 __attribute__((unused)) const uint32_t *end,
                                                                 __attribute__((unused)) int32_t sums[8]) {
#define STEP                                                                                                           \
    "ldrd r2, r3, [r1], #8\n"                                                                                          \
    "ldrd r12, lr, [r0], #8\n"                                                                                         \
    "smlad r4, r12, r2, r4\n"                                                                                          \
    "smlad r5, r12, r3, r5\n"                                                                                          \
    "sxtb16 r12, r12\n"                                                                                                \
    "smlad r8, lr, r2, r8\n"                                                                                           \
    "smlad r9, lr, r3, r9\n"                                                                                           \
    "sxtb16 lr, lr\n"                                                                                                  \
    "smlad r6, r12, r2, r6\n"                                                                                          \
    "smlad r7, r12, r3, r7\n"                                                                                          \
    "smlad r10, lr, r2, r10\n"                                                                                         \
    "smlad r11, lr, r3, r11\n"
    __asm volatile("push {r3-r11, lr}\n"
                   "vmov s0, r2\n"
                   "mov r4, #0\n"
                   "mov r5, #0\n"
                   "mov r6, #0\n"
                   "mov r7, #0\n"
                   "mov r8, #0\n"
                   "mov r9, #0\n"
                   "mov r10, #0\n"
                   "mov r11, #0\n"
                   ".balign 8\n"
                   "1:\n" STEP STEP "vmov r12, s0\n"
                   "cmp r1, r12\n"
                   "bne 1b\n"
                   "pop {r3}\n"
                   "stm r3, {r4-r11}\n"
                   "pop {r4-r11, pc}\n");
#undef STEP
}

#else

static const uint32_t *multiply(const uint32_t *weights, const uint32_t *columns, const uint32_t *end,
                                int32_t sums[8]) {
    memset(sums, 0, 8 * sizeof sums[0]);
    for (; columns != end; columns += 2, weights += 2) {
        for (int32_t half = 0; half < 2; half++) {
            const uint32_t low = hilnas_even_bytes(weights[half]);
            for (int32_t pixel = 0; pixel < 2; pixel++) {
                int32_t *pair = sums + 4 * half + pixel;
                pair[0] = hilnas_smlad(weights[half], columns[pixel], pair[0]);
                pair[2] = hilnas_smlad(low, columns[pixel], pair[2]);
            }
        }
    }
    return weights;
}

#endif

/* The sums of the four channels of one pixel, out of what `multiply` left. */
static inline void separate(const int32_t *packed, int32_t sums[4]) {
    sums[0] = (int32_t)((uint32_t)packed[0] - (uint32_t)packed[2]) >> 8;
    sums[1] = packed[2];
    sums[2] = (int32_t)((uint32_t)packed[4] - (uint32_t)packed[6]) >> 8;
    sums[3] = packed[6];
}

/* The outputs of four channels of one pixel, a byte each. */
static inline uint32_t outputs_of(const hilnas_output *range, const hilnas_channel *channels, const int32_t *packed) {
    const int32_t rounding = 2 * range->zero_point + 1;
    int32_t sums[4];
    separate(packed, sums);
#pragma GCC unroll 4
    for (int32_t c = 0; c < 4; c++) {
        const int32_t shift = channels[c].shift;
        const hilnas_bounded_scale scale = {channels[c].multiplier, shift, rounding * (1 << (shift - 1))};
        sums[c] = hilnas_saturate(hilnas_scale_bounded(sums[c] + channels[c].bias, scale));
    }
    if (range->low > INT8_MIN || range->high < INT8_MAX) {
        for (int32_t c = 0; c < 4; c++) {
            sums[c] = hilnas_clamp(sums[c], range->low, range->high);
        }
    }
    return hilnas_pack(sums[0], sums[1], sums[2], sums[3]);
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
