/* How the core treats memory by its address: the default memory map, and what regions of the MPU make of it (ARMv7-M
 * Architecture Reference Manual, B3.1 and B3.5). */
#ifndef HILNAS_TIMING_ATTRIBUTES_H
#define HILNAS_TIMING_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>

enum { REGIONS_MAX = 16, MPU_CTRL = 0xD94, MPU_RNR = 0xD98, MPU_RBAR = 0xD9C, MPU_RASR = 0xDA0 };

/* Registers of the MPU. */
struct protection {
    uint32_t control, number;
    struct region {
        uint32_t base, attributes;
    } regions[REGIONS_MAX];
};

struct attributes {
    bool caches_instructions, caches_data, writes_back, allocates_on_write;
};

/* A write to one of the four registers, by its offset in the system control space. */
void protection_write(struct protection *protection, uint32_t offset, uint32_t value);

struct attributes attributes_at(const struct protection *protection, uint32_t address);

/* Whether all of `size` bytes have the attributes of the first. */
bool attributes_are_uniform(const struct protection *protection, uint32_t base, uint32_t size);

#endif
