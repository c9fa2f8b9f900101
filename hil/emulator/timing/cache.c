#include "cache.h"

#include <stdlib.h>

static bool is_power_of_two(uint32_t value) {
    return value && !(value & (value - 1));
}

int cache_create(struct cache *cache, uint32_t bytes, uint32_t ways, uint32_t line_bytes, bool is_random) {
    *cache = (struct cache){.ways = ways, .is_random = is_random, .random_state = 1};
    if (bytes == 0)
        return 0;
    if (!is_power_of_two(line_bytes) || ways == 0 || !is_power_of_two(bytes / line_bytes / ways))
        return -1;
    cache->sets = bytes / line_bytes / ways;
    cache->line_shift = (uint8_t)__builtin_ctz(line_bytes);
    cache->lines = calloc((size_t)cache->sets * ways, sizeof *cache->lines);
    cache->last = cache->lines;
    return cache->lines ? 0 : -1;
}

void cache_destroy(struct cache *cache) {
    free(cache->lines);
    cache->lines = NULL;
}

extern inline struct cache_line *cache_find(struct cache *cache, uint32_t address);

struct cache_line *cache_search(struct cache *cache, uint32_t line) {
    struct cache_line *set = cache->lines + (size_t)(line & (cache->sets - 1)) * cache->ways;
    for (uint32_t way = 0; way < cache->ways; way++)
        if (set[way].line == line && set[way].valid) {
            set[way].used = cache->accesses;
            cache->last = &set[way];
            return &set[way];
        }
    return NULL;
}

static struct cache_line *victim(struct cache *cache, struct cache_line *set) {
    struct cache_line *oldest = set;
    for (uint32_t way = 0; way < cache->ways; way++) {
        if (!set[way].valid)
            return &set[way];
        if (set[way].used < oldest->used)
            oldest = &set[way];
    }
    if (!cache->is_random)
        return oldest;
    cache->random_state ^= cache->random_state << 13; /* xorshift32 (Marsaglia, 2003) */
    cache->random_state ^= cache->random_state >> 17;
    cache->random_state ^= cache->random_state << 5;
    return &set[cache->random_state % cache->ways];
}

struct cache_line cache_allocate(struct cache *cache, uint32_t address) {
    uint32_t line = address >> cache->line_shift;
    struct cache_line *place = victim(cache, cache->lines + (size_t)(line & (cache->sets - 1)) * cache->ways);
    struct cache_line former = *place;
    *place = (struct cache_line){.used = cache->accesses, .line = line, .valid = true};
    cache->last = place;
    return former;
}

void cache_forget(struct cache *cache, uint32_t set, uint32_t way) {
    if (set < cache->sets && way < cache->ways)
        cache->lines[(size_t)set * cache->ways + way].valid = false;
}

void cache_forget_all(struct cache *cache) {
    for (uint32_t set = 0; set < cache->sets; set++)
        for (uint32_t way = 0; way < cache->ways; way++)
            cache_forget(cache, set, way);
    cache->random_state = 1;
}
