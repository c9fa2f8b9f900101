#include "attributes.h"

enum { SUBREGIONS = 8, LEAST_WITH_SUBREGIONS = 8 }; /* 2^8 bytes */

static struct attributes cacheable(bool writes_back, bool allocates_on_write) {
    return (struct attributes){true, true, writes_back, allocates_on_write};
}

static const struct attributes NOT_CACHED = {false, false, false, false};

static struct attributes default_map(uint32_t address) {
    switch (address >> 29) {
    case 0: /* code */
    case 4: /* external memory: upper half */
        return cacheable(false, false);
    case 1: /* SRAM */
    case 3: /* external memory: lower half */
        return cacheable(true, true);
    default: /* peripherals, devices, system */
        return NOT_CACHED;
    }
}

/* TEX, C and B of the inner cache. Shareable data is not cached: the Cortex-M7 has no coherence (DDI 0489). */
static struct attributes of_region(const struct region *region) {
    bool b = region->attributes >> 16 & 1, c = region->attributes >> 17 & 1, shareable = region->attributes >> 18 & 1;
    unsigned tex = region->attributes >> 19 & 7;
    struct attributes result = NOT_CACHED;
    if (tex >= 4) /* 01 allocates on writes, 10 writes through, 11 writes back */
        result = c || b ? cacheable(b, b && !c) : NOT_CACHED;
    else if (c && tex <= 1)
        result = cacheable(b, b && tex == 1);
    result.caches_data &= !shareable;
    return result;
}

static unsigned log2_size(const struct region *region) {
    return (region->attributes >> 1 & 31) + 1;
}

static bool is_on(const struct region *region) {
    return (region->attributes & 1) && log2_size(region) >= 5;
}

static bool covers(const struct region *region, uint32_t address) {
    unsigned bits = log2_size(region);
    uint64_t size = UINT64_C(1) << bits, offset = address - (region->base & ~(size - 1));
    if (!is_on(region) || offset >= size)
        return false;
    return bits < LEAST_WITH_SUBREGIONS || !(region->attributes >> (8 + (offset >> (bits - 3))) & 1);
}

void protection_write(struct protection *protection, uint32_t offset, uint32_t value) {
    struct region *region = &protection->regions[protection->number % REGIONS_MAX];
    switch (offset) {
    case MPU_CTRL:
        protection->control = value;
        break;
    case MPU_RNR:
        protection->number = value;
        break;
    case MPU_RBAR:
        region->base = value;
        break;
    case MPU_RASR:
        region->attributes = value;
        break;
    }
}

struct attributes attributes_at(const struct protection *protection, uint32_t address) {
    if (protection->control & 1)
        for (unsigned n = REGIONS_MAX; n-- > 0;) /* the highest number wins */
            if (covers(&protection->regions[n], address))
                return of_region(&protection->regions[n]);
    return default_map(address);
}

bool attributes_are_uniform(const struct protection *protection, uint32_t base, uint32_t size) {
    if (!(protection->control & 1))
        return true;
    for (unsigned n = 0; n < REGIONS_MAX; n++) {
        const struct region *region = &protection->regions[n];
        if (!is_on(region))
            continue;
        uint64_t part = UINT64_C(1) << log2_size(region), first = region->base & ~(part - 1), last = first + part;
        if (log2_size(region) >= LEAST_WITH_SUBREGIONS)
            part /= SUBREGIONS;
        for (uint64_t border = first; border <= last; border += part)
            if (border > base && border < (uint64_t)base + size)
                return false;
    }
    return true;
}
