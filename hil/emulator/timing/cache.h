/* A set-associative cache of tags, with least-recently-used or pseudo-random replacement. */
#ifndef HILNAS_TIMING_CACHE_H
#define HILNAS_TIMING_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct cache_line {
    uint64_t used; /* when it was last used, counted in accesses */
    uint32_t line; /* address / line size */
    bool valid, dirty;
    uint8_t words; /* one bit a word that it holds, where a line fills word by word */
};

struct cache {
    struct cache_line *lines; /* sets x ways; NULL: there is no cache */
    struct cache_line *last;  /* the line of the last access */
    uint64_t accesses;
    uint32_t sets, ways, random_state;
    uint8_t line_shift;
    bool is_random;
};

/* 0, or -1 when there is no memory or the geometry is not one of powers of two. `bytes` 0: no cache. */
int cache_create(struct cache *cache, uint32_t bytes, uint32_t ways, uint32_t line_bytes, bool is_random);
void cache_destroy(struct cache *cache);

/* The line of that number, in its set, or NULL. */
struct cache_line *cache_search(struct cache *cache, uint32_t line);

/* The line that holds the address and is now the most recently used, or NULL. */
inline struct cache_line *cache_find(struct cache *cache, uint32_t address) {
    uint32_t line = address >> cache->line_shift;
    cache->accesses++;
    if (cache->last->line == line && cache->last->valid) {
        cache->last->used = cache->accesses;
        return cache->last;
    }
    return cache_search(cache, line);
}

/* Forgets the line in that place, or all lines. */
void cache_forget(struct cache *cache, uint32_t set, uint32_t way);
void cache_forget_all(struct cache *cache);

/* Puts the address's line in place of the victim, whose former content is returned. */
struct cache_line cache_allocate(struct cache *cache, uint32_t address);

#endif
