#include "guard.h"
#include "hilnas_board.h"
#include <stdint.h>

#define PATTERN 0x5AC396D2u
#define GUARD_WORDS (HILNAS_ARENA_GUARD_BYTES / 4u)

typedef struct {
    volatile uint32_t *first;
    uint32_t size_bytes; /* both guards included */
} guarded;

extern const guarded __guard_table[], __guard_table_end[];

static volatile uint32_t *behind(const guarded *arena) {
    return arena->first + arena->size_bytes / 4u - GUARD_WORDS;
}

void guards_set(void) {
    for (const guarded *arena = __guard_table; arena < __guard_table_end; arena++) {
        for (uint32_t i = 0; i < GUARD_WORDS; i++) {
            arena->first[i] = PATTERN;
            behind(arena)[i] = PATTERN;
        }
    }
}

bool guards_intact(void) {
    uint32_t differences = 0;
    for (const guarded *arena = __guard_table; arena < __guard_table_end; arena++) {
        for (uint32_t i = 0; i < GUARD_WORDS; i++) {
            differences |= (arena->first[i] ^ PATTERN) | (behind(arena)[i] ^ PATTERN);
        }
    }
    return differences == 0;
}
