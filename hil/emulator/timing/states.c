#include "states.h"

#include <stdlib.h>
#include <string.h>

enum { STATES_MAX = 1 << 16 };

uint32_t hash_of(const void *data, size_t size) { /* FNV-1a */
    uint32_t hash = 2166136261u;
    for (size_t n = 0; n < size; n++)
        hash = (hash ^ ((const uint8_t *)data)[n]) * 16777619u;
    return hash % HASH_SIZE;
}

int state_table_create(struct state_table *table, const struct parameters *parameters) {
    struct pipeline empty;
    table->states = calloc(STATES_MAX, sizeof *table->states);
    table->by_hash = calloc(HASH_SIZE, sizeof *table->by_hash);
    table->next = calloc(STATES_MAX, sizeof *table->next);
    if (!table->states || !table->by_hash || !table->next)
        return -1;
    pipeline_reset(&empty, parameters);
    state_table_number(table, &empty);
    return 0;
}

void state_table_destroy(struct state_table *table) {
    free(table->states);
    free(table->by_hash);
    free(table->next);
}

uint32_t state_table_number(struct state_table *table, const struct pipeline *state) {
    uint32_t *bucket = &table->by_hash[hash_of(state, sizeof *state)];
    for (uint32_t n = *bucket; n; n = table->next[n - 1])
        if (!memcmp(&table->states[n - 1], state, sizeof *state))
            return n - 1;
    if (table->count == STATES_MAX)
        return 0;
    uint32_t number = table->count++;
    table->states[number] = *state;
    table->next[number] = *bucket;
    *bucket = number + 1;
    return number;
}
