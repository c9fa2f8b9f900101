/* DEPTHWISE_CONV_2D on planes: four channels of a few rows at a time are spread to planes of int16, and convolved
 * there. */
#pragma GCC optimize("Os") /* the time goes into the routines that these functions call */
#include "assembly.h"

enum { MOST_ROWS = 16, WORD = 16 /* bytes from a word of a plane to its next */ };

static void clear(int8_t *target, int32_t bytes) {
    uint32_t *words = (uint32_t *)(void *)target;
#pragma GCC unroll 8
    for (int32_t i = 0; i < bytes / 4; i++) {
        words[i] = 0u;
    }
}

typedef struct {
    int32_t top, begin, end; /* input rows: of the planes' first row, and those of the image among them */
    int32_t table[3 * MOST_ROWS];
} chunk_rows;

/* Which input rows output rows `first` .. `first + count - 1` need, and for each of these where its filter begins and
 * ends. */
static void prepare(const hilnas_planar_convolution *layer, int32_t first, int32_t count, chunk_rows *chunk) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t above = first * g->stride_y - g->pad_top;
    const int32_t below = above + (count - 1) * g->stride_y + g->window_height;
    chunk->begin = above > 0 ? above : 0;
    chunk->end = below < g->input_height ? below : g->input_height;
    chunk->top = layer->zeros_above ? above : chunk->begin;
    if (layer->zeros_above) {
        return;
    }
    for (int32_t y = 0; y < count && y < MOST_ROWS; y++) {
        const int32_t start = above + y * g->stride_y;
        const int32_t low = start < 0 ? -start : 0;
        const int32_t high = start + g->window_height > g->input_height ? g->input_height - start : g->window_height;
        chunk->table[3 * y] = (start + low - chunk->top) * layer->pitch;
        chunk->table[3 * y + 1] = low * layer->filter_row_bytes;
        chunk->table[3 * y + 2] = high * layer->filter_row_bytes;
    }
}

/* Spreads the image rows of a chunk, in as many pieces as the ring of input rows makes of them. */
static void spread(const hilnas_planar_convolution *layer, const hilnas_rows *input, const chunk_rows *chunk,
                   int32_t channel, int8_t *planes) {
    const hilnas_geometry *g = &layer->geometry;
    const uint32_t minus_zero = (uint32_t)-layer->input_zero_point & 0xFFFFu;
    for (int32_t y = chunk->begin, rows; y < chunk->end; y += rows) {
        const int32_t till_wrap = input->ring - y % input->ring;
        rows = chunk->end - y < till_wrap ? chunk->end - y : till_wrap;
        const hilnas_depthwise_spread_arguments arguments = {.source = hilnas_row(input, y) + channel,
                                                             .target = planes + (y - chunk->top) * layer->pitch +
                                                                       layer->left_bytes,
                                                             .source_pitch = (uint32_t)input->pitch,
                                                             .target_pitch = (uint32_t)layer->pitch,
                                                             .rows = (uint32_t)rows,
                                                             .pixel = (uint32_t)g->input_channels,
                                                             .width = (uint32_t)g->input_width,
                                                             .zero_points = minus_zero | minus_zero << 16};
        hilnas_depthwise_spread(&arguments);
    }
}

static void clear_padding_rows(const hilnas_planar_convolution *layer, const chunk_rows *chunk, int32_t plane_bytes,
                               int8_t *planes) {
    const int32_t above = (chunk->begin - chunk->top) * layer->pitch, inside = (chunk->end - chunk->top) * layer->pitch;
    clear(planes, above);
    clear(planes + inside, plane_bytes - inside);
}

/* Of the planes for some output rows. */
static int32_t plane_bytes_of(const hilnas_planar_convolution *layer, int32_t rows) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t bytes = ((rows - 1) * g->stride_y + g->window_height) * layer->pitch;
    return bytes < layer->plane_bytes ? bytes : layer->plane_bytes;
}

void hilnas_convolve_planar_rows(const hilnas_planar_convolution *layer, const hilnas_rows *input, int32_t first,
                                 int32_t count, int8_t *output, int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t output_pitch = g->output_width * g->output_channels;
    const int32_t plane_bytes = plane_bytes_of(layer, count < layer->chunk ? count : layer->chunk);
    if (layer->zeros_beside) {
        clear(scratch, plane_bytes);
    }
    for (int32_t done = 0; done < count; done += layer->chunk) {
        const int32_t rows = count - done < layer->chunk ? count - done : layer->chunk;
        chunk_rows chunk;
        prepare(layer, first + done, rows, &chunk);
        if (layer->zeros_above) {
            clear_padding_rows(layer, &chunk, plane_bytes, scratch);
        }
        const uint8_t *stream = layer->stream;
        for (int32_t channel = 0; channel < g->input_channels; channel += 4, stream += 4 * layer->channel_bytes) {
            const int32_t left = g->input_channels - channel;
            int8_t *place = output + done * output_pitch + channel;
            const hilnas_depthwise_group group = {.planes = scratch,
                                                  .last_output =
                                                      place + (layer->first_outputs - 1) * g->output_channels,
                                                  .channels = (uint32_t)(left < 4 ? left : 4),
                                                  .stream = stream,
                                                  .rows = (uint32_t)rows,
                                                  .row_table = chunk.table,
                                                  .pixel = (uint32_t)g->output_channels};
            spread(layer, input, &chunk, channel, scratch);
            layer->routine(&group);
        }
    }
}

void hilnas_convolve_planar(const hilnas_planar_convolution *layer, const int8_t *input, int8_t *output,
                            int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    const hilnas_rows rows = {input, g->input_width * g->input_channels, g->input_height};
    hilnas_convolve_planar_rows(layer, &rows, 0, g->output_height, output, scratch);
}
