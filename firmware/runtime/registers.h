/* Access to memory-mapped registers. */
#ifndef HILNAS_REGISTERS_H
#define HILNAS_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

static inline void register_set(volatile uint32_t *address, uint32_t bits) {
    *address |= bits;
}

static inline void register_replace(volatile uint32_t *address, uint32_t mask, uint32_t value) {
    *address = (*address & ~mask) | value;
}

/* Waits until the masked register has the value; gives up after about a million reads (tens of milliseconds). */
static inline bool register_becomes(volatile const uint32_t *address, uint32_t mask, uint32_t value) {
    for (uint32_t attempts = 1000000; attempts > 0; attempts--) {
        if ((*address & mask) == value) {
            return true;
        }
    }
    return false;
}

#endif
