#include "logs.h"
#include <stdlib.h>

/* Room for one item more. */
static void *grown(void *items, size_t count, size_t *capacity, size_t item_bytes) {
    if (count < *capacity) {
        return items;
    }
    *capacity = 2 * *capacity + 64;
    void *larger = realloc(items, *capacity * item_bytes);
    if (!larger) {
        abort();
    }
    return larger;
}

void mark_log_add(mark_log *self, machine_mark mark) {
    self->items = grown(self->items, self->count, &self->capacity, sizeof(mark));
    self->items[self->count++] = mark;
}

void access_log_add(access_log *self, uint32_t address, uint32_t block, bool is_write) {
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].address == address && self->items[i].is_write == is_write) {
            self->items[i].count++;
            return;
        }
    }
    self->items = grown(self->items, self->count, &self->capacity, sizeof(*self->items));
    self->items[self->count++] = (machine_access){address, block, is_write, 1};
}
