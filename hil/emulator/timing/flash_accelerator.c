#include "flash_accelerator.h"

enum { WORDS_A_LINE = 8, NO_WORD = UINT32_MAX };

int flash_accelerator_create(struct flash_accelerator *flash, uint32_t line_bytes, uint32_t instruction_lines,
                             uint32_t data_lines) {
    uint32_t word_bytes = flash->word_bytes;
    flash->instructions.held = flash->data.held = NO_WORD;
    if (!word_bytes || word_bytes & (word_bytes - 1) || line_bytes < word_bytes ||
        line_bytes / word_bytes > WORDS_A_LINE ||
        cache_create(&flash->instructions.cache, instruction_lines * line_bytes, instruction_lines, line_bytes,
                     false) ||
        cache_create(&flash->data.cache, data_lines * line_bytes, data_lines, line_bytes, false))
        return -1;
    return 0;
}

void flash_accelerator_destroy(struct flash_accelerator *flash) {
    cache_destroy(&flash->instructions.cache);
    cache_destroy(&flash->data.cache);
}

bool flash_misses(const struct flash_accelerator *flash, struct flash_port *port, uint32_t address, bool is_cached) {
    uint32_t word = address / flash->word_bytes;
    if (word == port->held)
        return false;
    port->held = word;
    if (!is_cached || !port->cache.lines)
        return true;
    uint8_t bit = (uint8_t)(1u << word % WORDS_A_LINE);
    struct cache_line *line = cache_find(&port->cache, address);
    if (!line) {
        cache_allocate(&port->cache, address);
        line = port->cache.last;
    }
    bool is_held = line->words & bit;
    line->words |= bit;
    return !is_held;
}

void flash_forget(struct flash_port *port) {
    port->held = NO_WORD;
    if (port->cache.lines)
        cache_forget_all(&port->cache);
}
