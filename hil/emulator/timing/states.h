/* Numbers for states of the pipeline: equal states have equal numbers, so that a block is scheduled once for each. */
#ifndef HILNAS_TIMING_STATES_H
#define HILNAS_TIMING_STATES_H

#include "schedule.h"

#include <stddef.h>

enum { HASH_SIZE = 1 << 14 };

/* Of HASH_SIZE buckets the one for some bytes. */
uint32_t hash_of(const void *data, size_t size);

struct state_table {
    struct pipeline *states;
    uint32_t count, *by_hash, *next;
};

/* A table that knows the empty pipeline, as number 0; -1: out of memory. */
int state_table_create(struct state_table *table, const struct parameters *parameters);
void state_table_destroy(struct state_table *table);

/* Once there are too many states, all further ones count as the empty pipeline. */
uint32_t state_table_number(struct state_table *table, const struct pipeline *state);

#endif
