/* The kernels of the engine, one a file. Each takes its constant parameters, its inputs, its output and, if it needs
 * some, scratch memory. Images are rows of pixels, a pixel is its channels. Nothing is allocated and nothing is kept.
 */
#ifndef HILNAS_KERNELS_H
#define HILNAS_KERNELS_H

#include <stdint.h>

/* How an accumulator of one output channel becomes an output: (acc + bias) * multiplier / 2^31 * 2^shift. */
typedef struct {
    int32_t bias;
    int32_t multiplier;
    int32_t shift;
} hilnas_channel;

/* Where an output value lies: its zero point, and the range that the fused activation leaves. */
typedef struct {
    int16_t zero_point;
    int16_t low;
    int16_t high;
} hilnas_output;

/* A window that moves over an image. Padding is above and to the left; below and to the right it follows from the
 * sizes. */
typedef struct {
    int16_t input_height, input_width, input_channels;
    int16_t output_height, output_width, output_channels;
    int16_t window_height, window_width;
    int16_t stride_y, stride_x;
    int16_t dilation_y, dilation_x;
    int16_t pad_top, pad_left;
} hilnas_geometry;

/* Rows of an image: row y is at base + (y % ring) * pitch. An image that is there as a whole has ring = its height.
 * Functions that end in _rows compute output rows `first` .. `first + count - 1`, one behind the other, from such rows.
 */
typedef struct {
    const int8_t *base;
    int32_t pitch, ring;
} hilnas_rows;

static inline const int8_t *hilnas_row(const hilnas_rows *rows, int32_t y) {
    return rows->base + y % rows->ring * rows->pitch;
}

/* What a chain of layers does next: some output rows of one of them. */
typedef struct {
    uint8_t layer, count;
    uint16_t first;
} hilnas_step;

typedef struct {
    hilnas_geometry geometry;
    int16_t input_zero_point;
    hilnas_output output;
    const void *weights;
    const hilnas_channel *channels;
} hilnas_convolution;

/* Weights: output channel, window row, window column, input channel. */
void hilnas_convolve(const hilnas_convolution *layer, const int8_t *input, int8_t *output);
void hilnas_convolve_rows(const hilnas_convolution *layer, const hilnas_rows *input, int32_t first, int32_t count,
                          int8_t *output);

/* Weights: window row, window column, output channel. Output channels are a multiple of input channels. */
void hilnas_convolve_depthwise(const hilnas_convolution *layer, const int8_t *input, int8_t *output);
void hilnas_convolve_depthwise_rows(const hilnas_convolution *layer, const hilnas_rows *input, int32_t first,
                                    int32_t count, int8_t *output);

/* The same with a multiplier of 62 bits, high * 2^32 + low, and one rounding: (acc + bias) * multiplier / 2^32 /
 * 2^shift. */
typedef struct {
    int32_t bias;
    uint32_t low;
    int32_t high;
    int32_t shift;
} hilnas_wide_channel;

/* For the DSP extension. The bias has the input's zero point folded in; see the files for the layout of weights and
 * scratch. The depthwise form is compiled for a window width (rounded up to odd) and a horizontal stride; it may run in
 * place. */
void hilnas_convolve_dsp(const hilnas_convolution *layer, const int8_t *input, int8_t *output, int8_t *scratch);

#define HILNAS_DEPTHWISE(taps, stride)                                                                                 \
    void hilnas_convolve_depthwise_##taps##_##stride(const hilnas_convolution *layer, const int8_t *input,             \
                                                     int8_t *output, int8_t *scratch)
#define HILNAS_DEPTHWISE_STRIDES(taps)                                                                                 \
    HILNAS_DEPTHWISE(taps, 1);                                                                                         \
    HILNAS_DEPTHWISE(taps, 2)
HILNAS_DEPTHWISE_STRIDES(3);
HILNAS_DEPTHWISE_STRIDES(5);
HILNAS_DEPTHWISE_STRIDES(7);
HILNAS_DEPTHWISE_STRIDES(9);
HILNAS_DEPTHWISE_STRIDES(11);
HILNAS_DEPTHWISE_STRIDES(13);
HILNAS_DEPTHWISE_STRIDES(15);

typedef struct {
    int32_t rows, depth, channels;
    int16_t input_zero_point;
    hilnas_output output;
    const int8_t *weights;
    const hilnas_wide_channel *scales;
} hilnas_fully_connected;

/* Weights: output channel, input. */
void hilnas_connect_fully(const hilnas_fully_connected *layer, const int8_t *input, int8_t *output);

typedef struct {
    int16_t zero_point;
    int32_t multiplier, shift;
} hilnas_operand;

typedef struct {
    int32_t elements;
    hilnas_operand first, second;
    int32_t multiplier, shift;
    hilnas_output output;
} hilnas_addition;

void hilnas_add(const hilnas_addition *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_add_rows(const hilnas_addition *layer, const hilnas_rows *first, const hilnas_rows *second,
                     int32_t first_row, int32_t count, int8_t *output);
void hilnas_add_dsp(const hilnas_addition *layer, const int8_t *first, const int8_t *second, int8_t *output);

typedef struct {
    hilnas_geometry geometry;
    hilnas_output output;
} hilnas_pooling;

void hilnas_pool_average(const hilnas_pooling *layer, const int8_t *input, int8_t *output);
void hilnas_pool_average_dsp(const hilnas_pooling *layer, const int8_t *input, int8_t *output);
void hilnas_pool_maximum(const hilnas_pooling *layer, const int8_t *input, int8_t *output);

/* The mean over the middle of three axes. */
typedef struct {
    int32_t outer, reduced, inner;
    int32_t bias; /* added to the sum of `reduced` inputs */
    int32_t multiplier, shift;
    hilnas_output output;
} hilnas_reduction;

void hilnas_reduce_mean(const hilnas_reduction *layer, const int8_t *input, int8_t *output);

/* Four axes, the last one contiguous. Output place (i, j, k, l) comes from input i * strides[0] + j * strides[1] ... */
typedef struct {
    int32_t sizes[4];
    int32_t strides[4];
} hilnas_permutation;

void hilnas_transpose(const hilnas_permutation *layer, const int8_t *input, int8_t *output);

/* Copies an input of sizes[] into an output of output_sizes[], at before[]; the rest of it holds `value`. */
typedef struct {
    int32_t sizes[4];
    int32_t output_sizes[4];
    int32_t before[4];
    int32_t value;
} hilnas_padding;

void hilnas_pad(const hilnas_padding *layer, const int8_t *input, int8_t *output);

/* exponentials[d] is exp(-d * scale * beta) in Q0.31 for a difference d to the maximum of the row; larger d count as 0.
 */
typedef struct {
    int32_t rows, classes;
    int32_t exponential_count;
    const int32_t *exponentials;
} hilnas_softmax;

void hilnas_softmax_int8(const hilnas_softmax *layer, const int8_t *input, int8_t *output);
void hilnas_softmax_int16(const hilnas_softmax *layer, const int8_t *input, int16_t *output);

typedef struct {
    int32_t elements;
    int16_t input_zero_point;
    int32_t multiplier, shift;
    int32_t zero_point;
} hilnas_rescaling;

void hilnas_rescale_int8(const hilnas_rescaling *layer, const int8_t *input, int8_t *output);
void hilnas_rescale_int16_to_int8(const hilnas_rescaling *layer, const int16_t *input, int8_t *output);
void hilnas_rescale_int16_to_int32(const hilnas_rescaling *layer, const int16_t *input, int32_t *output);

typedef struct {
    int32_t inputs, filters, rank, steps;
    int16_t input_zero_point;
    int16_t state_zero_point;
    int32_t feature_multiplier, feature_shift;
    int32_t multiplier, shift;
    hilnas_output output;
    const int8_t *features; /* filter, input */
    const int8_t *times;    /* filter, step */
    const int32_t *bias;    /* unit, or NULL */
} hilnas_svdf;

/* `state` (filter, step) keeps the filters' outputs of the last `steps` runs. */
void hilnas_filter_svdf(const hilnas_svdf *layer, const int8_t *input, int8_t *state, int8_t *output);

/* The rule of an early exit: is the entropy of the softmax of the logits below a threshold? All numbers are fixed
 * point. */
typedef struct {
    int32_t classes;
    uint32_t step; /* the logits' scale in nats, times 2^step_bits, in [2^31, 2^32) */
    int32_t step_bits;
    uint32_t threshold;           /* in nats, Q4.28 */
    const uint32_t *exponentials; /* exp(-d * scale) in Q1.31 for d = 0 .. 255 */
} hilnas_exit;

/* 1 if the exit is taken. */
uint32_t hilnas_decide_exit(const hilnas_exit *layer, const int8_t *logits);

#endif
