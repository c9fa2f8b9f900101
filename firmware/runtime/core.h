/* The Cortex-M7 itself: FPU, caches, MPU, faults, cycle counter. */
#ifndef HILNAS_CORE_H
#define HILNAS_CORE_H

#include "registers.h"

#define DWT_CYCCNT REGISTER(0xE0001004u)

void core_start(void);

static inline uint32_t core_cycles(void) {
    return DWT_CYCCNT;
}

#endif
