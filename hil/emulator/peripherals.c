#include "peripherals.h"
#include <stdlib.h>
#include <string.h>

/* Polls in a row after which a firmware counts as waiting: sending a byte polls once. */
#define IDLE_POLLS 16u
#define LONGEST_TIME_OUT 1000000000u /* cycles: some seconds */

void queue_push(byte_queue *self, const uint8_t *data, size_t size) {
    if (self->end + size > self->capacity) {
        size_t held = queue_size(self);
        size_t capacity = 2 * (held + size) + 256;
        uint8_t *grown = malloc(capacity);
        if (!grown) {
            abort();
        }
        if (held > 0) {
            memcpy(grown, self->data + self->begin, held);
        }
        free(self->data);
        *self = (byte_queue){grown, 0, held, capacity};
    }
    memcpy(self->data + self->end, data, size);
    self->end += size;
}

size_t queue_pop(byte_queue *self, uint8_t *data, size_t capacity) {
    size_t size = queue_size(self) < capacity ? queue_size(self) : capacity;
    if (size > 0) {
        memcpy(data, self->data + self->begin, size);
        self->begin += size;
    }
    if (self->begin == self->end) {
        self->begin = self->end = 0;
    }
    return size;
}

size_t queue_size(const byte_queue *self) {
    return self->end - self->begin;
}

bool peripherals_create(peripherals *self, const char *part_name, uint32_t uart_base) {
    *self = (peripherals){.part = part_find(part_name), .uart_base = uart_base};
    if (!self->part) {
        return false;
    }
    self->count = self->part->count;
    self->items = calloc(self->count, sizeof(peripheral));
    if (!self->items) {
        return false;
    }
    for (size_t i = 0; i < self->count; i++) {
        self->items[i].place = &self->part->places[i];
    }
    peripherals_reset(self);
    return true;
}

void peripherals_destroy(peripherals *self) {
    free(self->items);
    free(self->to_host.data);
    free(self->to_device.data);
}

void peripherals_reset(peripherals *self) {
    self->empty_polls = 0;
    self->reset_requested = false;
    self->cycle_counter_zero = self->systick_zero = 0;
    self->systick_wraps_seen = self->systick_wraps_pended = 0;
    self->may_interrupt = false;
    memset(self->regions, 0, sizeof(self->regions));
    for (size_t i = 0; i < self->count; i++) {
        peripheral *item = &self->items[i];
        memset(item->words, 0, sizeof(item->words));
        if (item->place->model->reset) {
            item->place->model->reset(item);
        }
        if (item->place->model == &stm32h7_rcc || item->place->model == &stm32f7_rcc ||
            item->place->model == &stm32l4_rcc) {
            self->rcc = item;
        }
        if (item->place->model == &core_scs) {
            self->scs = item;
            core_identify(item, self->part->core);
        }
    }
}

static peripheral *find(peripherals *self, uint32_t address) {
    for (size_t i = 0; i < self->count; i++) {
        const peripheral_place *place = self->items[i].place;
        if (address - place->base < place->size) {
            return &self->items[i];
        }
    }
    return NULL;
}

static bool is_clocked(const peripherals *self, const peripheral *item) {
    const peripheral_place *place = item->place;
    return place->clock_offset == 0 || (self->rcc->words[place->clock_offset / 4] >> place->clock_bit & 1u);
}

/* Registers are words; a narrower access sees its part of the word. */
access_result peripherals_read(peripherals *self, uint32_t address, uint32_t size, uint32_t *value) {
    peripheral *item = find(self, address);
    *value = 0;
    if (!item) {
        return ACCESS_UNMAPPED;
    }
    if (!is_clocked(self, item)) {
        return ACCESS_UNCLOCKED;
    }
    uint32_t offset = address - item->place->base;
    uint32_t word = item->place->model->read(self, item, offset & ~3u) >> (offset % 4 * 8);
    *value = size >= 4 ? word : word & ((1u << size * 8) - 1);
    return ACCESS_DONE;
}

access_result peripherals_write(peripherals *self, uint32_t address, uint32_t size, uint32_t value) {
    peripheral *item = find(self, address);
    if (!item) {
        return ACCESS_UNMAPPED;
    }
    if (!is_clocked(self, item)) {
        return ACCESS_UNCLOCKED;
    }
    uint32_t offset = address - item->place->base;
    if (size < 4) {
        uint32_t shift = offset % 4 * 8;
        uint32_t mask = ((1u << size * 8) - 1) << shift;
        value = (item->words[offset / 4] & ~mask) | (value << shift & mask);
    }
    item->place->model->write(self, item, offset & ~3u, value);
    return ACCESS_DONE;
}

/* An interrupt may end the wait, as the ticks of a time-out do; but not for ever. */
bool peripherals_idle(const peripherals *self) {
    return self->empty_polls >= IDLE_POLLS &&
           (!self->may_interrupt || self->last_poll - self->first_poll > LONGEST_TIME_OUT);
}

uint32_t plain_read(peripherals *all, peripheral *self, uint32_t offset) {
    (void)all;
    return self->words[offset / 4];
}

void plain_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    self->words[offset / 4] = value;
}

const peripheral_model plain_registers = {"registers", plain_read, plain_write, NULL};
