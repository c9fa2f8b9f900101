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
    int16_t groups;
    int16_t input_zero_point;
    hilnas_output output;
    const void *weights;
    const hilnas_channel *channels;
} hilnas_convolution;

/* Weights: output channel, window row, window column, input channel of the group that the output channel is in. */
void hilnas_convolve(const hilnas_convolution *layer, const int8_t *input, int8_t *output);
void hilnas_convolve_rows(const hilnas_convolution *layer, const hilnas_rows *input, int32_t first, int32_t count,
                          int8_t *output);

/* Weights: output channel, window row, window column, input channel. Padding is what a window over the output would
 * have. */
void hilnas_convolve_transposed(const hilnas_convolution *layer, const int8_t *input, int8_t *output);

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

/* Over all places i of kept[] and j of reduced[]: output i is made from the inputs at i * kept_strides + j *
 * reduced_strides. */
typedef struct {
    int32_t kept[3], kept_strides[3];
    int32_t reduced[3], reduced_strides[3];
    int32_t bias; /* of a mean: added to the sum of the inputs */
    int32_t multiplier, shift;
    hilnas_output output;
} hilnas_reduction;

void hilnas_reduce_mean(const hilnas_reduction *layer, const int8_t *input, int8_t *output);
void hilnas_reduce_maximum(const hilnas_reduction *layer, const int8_t *input, int8_t *output);
void hilnas_reduce_minimum(const hilnas_reduction *layer, const int8_t *input, int8_t *output);

/* Output i of sizes[] is made from the operands at i * first_strides and i * second_strides. */
typedef struct {
    int32_t sizes[4], first_strides[4], second_strides[4];
    hilnas_operand first, second;
    int32_t multiplier, shift;
    hilnas_output output;
} hilnas_elementwise;

void hilnas_add_broadcast(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_subtract(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_multiply(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_maximum(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_minimum(const hilnas_elementwise *layer, const int8_t *first, const int8_t *second, int8_t *output);

/* outputs[x + 128] is the output for x. */
typedef struct {
    int32_t elements;
    const int8_t *outputs;
} hilnas_lookup;

void hilnas_look_up(const hilnas_lookup *layer, const int8_t *input, int8_t *output);
void hilnas_look_up_rows(const hilnas_lookup *layer, const hilnas_rows *input, int32_t first, int32_t count,
                         int8_t *output);

/* Bytes of an input that go to an output: over all places i of sizes[], from source_offset + i * source_strides to
 * target_offset + i * target_strides. */
typedef struct {
    struct {
        int32_t source, target, source_offset, target_offset;
    } place;
    int32_t sizes[4], source_strides[4], target_strides[4];
} hilnas_block;

/* The first `filled_bytes` of outputs[0] hold `fill` where no block goes. */
typedef struct {
    int32_t block_count;
    const hilnas_block *blocks;
    int32_t filled_bytes, fill;
} hilnas_movement;

void hilnas_move(const hilnas_movement *layer, const void *const *inputs, void *const *outputs);

/* rows[y] and columns[x] say of which input pixel output pixel (y, x) is a copy. */
typedef struct {
    int32_t input_width, channels, output_height, output_width;
    const int16_t *rows, *columns;
} hilnas_nearest_resize;

void hilnas_resize_nearest(const hilnas_nearest_resize *layer, const int8_t *input, int8_t *output);

/* Between which two rows or columns an output lies, and how far from the first to the second, in 1/1024. */
typedef struct {
    int16_t lower, upper, fraction;
} hilnas_neighbours;

typedef struct {
    int32_t input_width, channels, output_height, output_width;
    const hilnas_neighbours *rows, *columns;
} hilnas_bilinear_resize;

void hilnas_resize_bilinear(const hilnas_bilinear_resize *layer, const int8_t *input, int8_t *output);

/* exponentials[d] is exp(-d * scale * beta) in Q0.31 for a difference d to the maximum of the row; larger d count as 0.
 */
typedef struct {
    int32_t rows, classes;
    int32_t exponential_count;
    const int32_t *exponentials;
} hilnas_softmax;

void hilnas_softmax_int8(const hilnas_softmax *layer, const int8_t *input, int8_t *output);
void hilnas_softmax_int16(const hilnas_softmax *layer, const int8_t *input, int16_t *output);

/* A difference d < `differences` is d * multiplier * 2^(shift - 31) in Q5.26; `inverse_` is the way back. */
typedef struct {
    hilnas_softmax softmax;
    int32_t differences;
    int32_t multiplier, shift;
    int32_t inverse_multiplier, inverse_shift;
} hilnas_logarithmic_softmax;

void hilnas_log_softmax(const hilnas_logarithmic_softmax *layer, const int8_t *input, int8_t *output);

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
    int16_t input_zero_point, state_zero_point, output_zero_point;
    int32_t feature_multiplier, feature_shift;
    int32_t multiplier, shift;
    const int8_t *features; /* filter, input */
    const void *times;      /* filter, step; of the state's type */
    const int32_t *bias;    /* unit, or NULL */
} hilnas_svdf;

/* `state` (filter, step) keeps the filters' outputs of the last `steps` runs. */
void hilnas_filter_svdf_int8(const hilnas_svdf *layer, const int8_t *input, void *state, int8_t *output);
void hilnas_filter_svdf_int16(const hilnas_svdf *layer, const int8_t *input, void *state, int8_t *output);

/* A gate of an LSTM: (bias + weights * input) and (hidden_bias + hidden * output of the last step), each scaled to
 * Q3.12. Zero points are folded into the biases. */
typedef struct {
    const int8_t *weights; /* cell, input */
    const int8_t *hidden;  /* cell, cell */
    const int32_t *bias, *hidden_bias;
    int32_t multiplier, shift;
    int32_t hidden_multiplier, hidden_shift;
} hilnas_gate;

/* A cell's value has `cell_integer_bits` before the point and is within -cell_limit .. cell_limit. */
typedef struct {
    int32_t steps, inputs, cells;
    hilnas_gate gates[4]; /* input, forget, cell, output */
    int32_t cell_integer_bits, cell_limit;
    int32_t multiplier, shift, output_zero_point;
} hilnas_lstm;

/* `hidden` (int8) and `cells` (int16) are kept from one run to the next. */
void hilnas_run_lstm(const hilnas_lstm *layer, const int8_t *input, int8_t *hidden, void *cells, int8_t *output);

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
