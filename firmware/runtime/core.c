/* The Cortex-M7 itself, from the ARMv7-M Architecture Reference Manual (DDI 0403) and the Cortex-M7 TRM (DDI 0489). */
#include "core.h"
#include "stack.h"

#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_LAR REGISTER(0xE0001FB0u)
#define VTOR REGISTER(0xE000ED08u)
#define CCR REGISTER(0xE000ED14u)
#define SHCSR REGISTER(0xE000ED24u)
#define CCSIDR REGISTER(0xE000ED80u)
#define CSSELR REGISTER(0xE000ED84u)
#define CPACR REGISTER(0xE000ED88u)
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RASR REGISTER(0xE000EDA0u)
#define DEMCR REGISTER(0xE000EDFCu)
#define ICIALLU REGISTER(0xE000EF50u)
#define DCISW REGISTER(0xE000EF60u)
#define DCCISW REGISTER(0xE000EF74u)
#define BPIALL REGISTER(0xE000EF78u)

extern const uint32_t vectors[];

static void barrier(void) {
    __asm volatile("dsb\n isb" ::: "memory");
}

static void set_region(uint32_t number, uint32_t base, uint32_t attributes) {
    MPU_RNR = number;
    MPU_RBAR = base;
    MPU_RASR = attributes;
}

/* Two regions may not be touched; elsewhere the default map holds.
 * External memory (0x60000000 .. 0xDFFFFFFF): a speculative read of a controller that is not set up can hang the bus.
 * The lowest 32 bytes of the stack: where an overflow ends. */
static void start_protection(void) {
    set_region(0, 0, 1u << 28 | 0x87u << 8 | 31u << 1 | 1u); /* 4 GB without its first three and its last eighth */
    set_region(1, (uint32_t)__stack_bottom, 1u << 28 | 4u << 1 | 1u);
    MPU_CTRL = 1u << 2 | 1u;
    barrier();
}

static void for_each_data_line(volatile uint32_t *maintain) {
    CSSELR = 0; /* the data cache of level 1 */
    barrier();
    uint32_t last_set = CCSIDR >> 13 & 0x7FFF;
    uint32_t last_way = CCSIDR >> 3 & 0x3FF;
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            *maintain = set << 5 | way << 30;
        }
    }
    barrier();
}

void core_start_caches(void) {
    barrier();
    ICIALLU = 0;
    barrier();
    CCR |= 1u << 17;
    for_each_data_line(&DCISW);
    CCR |= 1u << 16;
    barrier();
}

void core_forget(void) {
    for_each_data_line(&DCCISW);
    ICIALLU = 0;
    BPIALL = 0;
    barrier();
}

void core_start(void) {
    CPACR |= 0xFu << 20;
    VTOR = (uint32_t)vectors;
    SHCSR |= 7u << 16; /* MemManage, BusFault and UsageFault under their own names */
    CCR |= 1u << 4;    /* a division by zero is a fault */
    start_protection();
    DEMCR |= 1u << 24;
    DWT_LAR = 0xC5ACCE55u;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
}
