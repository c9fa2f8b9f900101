/* Layers whose inner loops are generated assembly. */
#ifndef HILNAS_ASSEMBLY_H
#define HILNAS_ASSEMBLY_H

#include "kernels.h"

/* Arguments of the dot products (assembly/convolve.py). */
typedef struct {
    const int8_t *input;
    int8_t *output;
    const uint32_t *stream, *stream_end;
    int8_t *tile;
    uint32_t tiles, input_pixel, output_pixel, steps;
} hilnas_dot;

typedef void (*hilnas_dot_routine)(const hilnas_dot *arguments);

/* Widens the pixels of a row (assembly/widen.py). */
typedef void (*hilnas_widen_routine)(const int8_t *source, int8_t *target, uint32_t pixels);

/* CONV_2D and FULLY_CONNECTED by pairs of channels. `four` takes four pixels at a time, `rest` what is left of a row.
 */
typedef struct {
    hilnas_geometry geometry;
    int16_t input_zero_point;
    int16_t column_bytes; /* of the widened inputs under one column of the filter; 0 for a filter of one place */
    hilnas_widen_routine widen;
    hilnas_dot_routine four, rest;
    const uint32_t *stream; /* for each pair of channels `steps` words of weights and PAIR_WORDS of numbers */
    int32_t steps;
} hilnas_packed_convolution;

void hilnas_convolve_packed(const hilnas_packed_convolution *layer, const int8_t *input, int8_t *output,
                            int8_t *scratch);
void hilnas_convolve_packed_rows(const hilnas_packed_convolution *layer, const hilnas_rows *input, int32_t first,
                                 int32_t count, int8_t *output, int8_t *scratch);

/* Arguments of the depthwise routines (assembly/depthwise.py and assembly/spread.py). */
typedef struct {
    const int8_t *planes;
    int8_t *last_output; /* of the first segment */
    uint32_t channels;
    const uint8_t *stream;
    uint32_t rows;
    const int32_t *row_table;
    uint32_t pixel;
} hilnas_depthwise_group;

typedef struct {
    const int8_t *source;
    int8_t *target;
    uint32_t source_pitch, target_pitch, rows, pixel, width, zero_points;
} hilnas_depthwise_spread_arguments;

typedef void (*hilnas_depthwise_routine)(const hilnas_depthwise_group *arguments);
void hilnas_depthwise_spread(const hilnas_depthwise_spread_arguments *arguments);

/* DEPTHWISE_CONV_2D, four channels at a time, on planes of int16 in the scratch memory. */
typedef struct {
    hilnas_geometry geometry;
    int16_t input_zero_point;
    int16_t chunk;         /* output rows at a time */
    int16_t first_outputs; /* of a row that its first segment has */
    int16_t zeros_above;   /* whether padding above and below the image is there as rows of zeros */
    int16_t zeros_beside;  /* whether padding at the ends of a row is there as zeros */
    int16_t pitch, left_bytes, filter_row_bytes, channel_bytes;
    int32_t plane_bytes;
    hilnas_depthwise_routine routine;
    const uint8_t *stream;
} hilnas_planar_convolution;

void hilnas_convolve_planar(const hilnas_planar_convolution *layer, const int8_t *input, int8_t *output,
                            int8_t *scratch);
void hilnas_convolve_planar_rows(const hilnas_planar_convolution *layer, const hilnas_rows *input, int32_t first,
                                 int32_t count, int8_t *output, int8_t *scratch);

/* ADD as saturate((a * first + b * second + c) >> 21), which is exact for the numbers that assembly/add.py finds. */
typedef struct {
    int32_t elements;
    int32_t a, b, c;
} hilnas_fitted_addition;

void hilnas_add_fitted(const hilnas_fitted_addition *layer, const int8_t *first, const int8_t *second, int8_t *output);
void hilnas_add_fitted_rows(const hilnas_fitted_addition *layer, const hilnas_rows *first, const hilnas_rows *second,
                            int32_t first_row, int32_t count, int8_t *output);
void hilnas_add_fours(int32_t fours, const int8_t *first, const int8_t *second, int8_t *output, int32_t a, int32_t b,
                      int32_t c);

#endif
