/* The core itself: FPU, MPU, faults, cycle counter (core.c), and the caches of core or flash (caches_<part>.c). */
#ifndef HILNAS_CORE_H
#define HILNAS_CORE_H

#include "registers.h"

#define DWT_CYCCNT REGISTER(0xE0001004u)

void core_start(void);

static inline void core_barrier(void) {
    __asm volatile("dsb\n isb" ::: "memory");
}

/* After code has been copied to RAM: the instruction cache does not see what is still in the data cache. */
void core_start_caches(void);

/* Empties the caches and forgets all branches: what runs next takes as long whatever ran before it. */
void core_forget(void);

static inline uint32_t core_cycles(void) {
    return DWT_CYCCNT;
}

#endif
