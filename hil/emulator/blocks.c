#include "blocks.h"
#include <stdlib.h>
#include <string.h>

bool blocks_create(block_table *self) {
    *self = (block_table){calloc(4096, sizeof(block)), 4096, 0};
    return self->slots != NULL;
}

void blocks_destroy(block_table *self) {
    free(self->slots);
}

block *blocks_find(block_table *self, uint32_t address, uint32_t size) {
    size_t index = (address >> 1) * 2654435761u;
    for (;; index++) {
        block *slot = &self->slots[index & (self->capacity - 1)];
        if (slot->size == 0 || (slot->address == address && slot->size == size)) {
            return slot;
        }
    }
}

block *blocks_add(block_table *self, block added) {
    if (2 * (self->count + 1) > self->capacity) {
        block_table grown = {calloc(2 * self->capacity, sizeof(block)), 2 * self->capacity, self->count};
        if (!grown.slots) {
            return NULL;
        }
        for (size_t i = 0; i < self->capacity; i++) {
            if (self->slots[i].size > 0) {
                *blocks_find(&grown, self->slots[i].address, self->slots[i].size) = self->slots[i];
            }
        }
        free(self->slots);
        *self = grown;
    }
    block *slot = blocks_find(self, added.address, added.size);
    *slot = added;
    self->count++;
    return slot;
}

/* An instruction is 32 bits wide if its first half-word begins with 0b11101, 0b11110 or 0b11111. */
uint32_t thumb_instructions(const uint8_t *code, uint32_t size) {
    uint32_t count = 0;
    for (uint32_t at = 0; at + 1 < size; count++) {
        at += code[at + 1] >> 3 >= 0x1D ? 4 : 2;
    }
    return count;
}

bool is_endless(const uint8_t *code, uint32_t size) {
    static const uint8_t narrow[2] = {0xFE, 0xE7}, wide[4] = {0xFF, 0xF7, 0xFE, 0xBF};
    return (size == 2 && memcmp(code, narrow, 2) == 0) || (size == 4 && memcmp(code, wide, 4) == 0);
}

uint32_t code_checksum(const uint8_t *code, uint32_t size) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (uint32_t at = 0; at < size; at++) {
        hash = (hash ^ code[at]) * 16777619u;
    }
    return hash;
}
