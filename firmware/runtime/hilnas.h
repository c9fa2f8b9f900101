/* The interface of a generated model. The generated model.c implements it; whoever runs the model calls it. */
#ifndef HILNAS_H
#define HILNAS_H

#include <stdint.h>

/* A model input or output: int8 data inside the arena unless the model's own edge has another type. */
typedef struct {
    void *data;
    uint32_t size_bytes;
} hilnas_tensor;

/* Flags of hilnas_run. Without HILNAS_TAKE_EXITS every exit is computed and decided, and none is taken: the longest
 * path. */
enum { HILNAS_TAKE_EXITS = 1u };

extern const uint32_t hilnas_input_count;
extern const uint32_t hilnas_output_count;
extern const uint32_t hilnas_layer_count;
extern const uint32_t hilnas_exit_count;
extern const hilnas_tensor hilnas_inputs[];
extern const hilnas_tensor hilnas_outputs[]; /* exit_0 .. exit_n, then the final output, in the manifest's order */

/* Forgets what the model keeps from one run to the next, if anything. To be called before the first run. */
void hilnas_reset(void);

/* Runs the model on what is in hilnas_inputs, which it destroys. Returns the exit taken: 0 .. hilnas_exit_count - 1, or
 * hilnas_exit_count for the final output. Outputs behind a taken exit are not written. */
uint32_t hilnas_run(uint32_t flags);

/* Called before layer `index`, or each time before some of its rows, and, with hilnas_layer_count, when the run ends,
 * by exit or not. Weak and empty in the model; the measuring firmware replaces it and emulators hook its address. */
void hilnas_layer_mark(uint32_t index);

#endif
