/* The core itself, a Cortex-M7 or a Cortex-M4, from the ARMv7-M Architecture Reference Manual (DDI 0403). */
#include "core.h"
#include "hilnas_board.h"
#include "stack.h"

#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_LAR REGISTER(0xE0001FB0u)
#define VTOR REGISTER(0xE000ED08u)
#define CCR REGISTER(0xE000ED14u)
#define SHCSR REGISTER(0xE000ED24u)
#define CPACR REGISTER(0xE000ED88u)
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RNR REGISTER(0xE000ED98u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RASR REGISTER(0xE000EDA0u)
#define DEMCR REGISTER(0xE000EDFCu)

extern const uint32_t vectors[];

static void set_region(uint32_t number, uint32_t base, uint32_t attributes) {
    MPU_RNR = number;
    MPU_RBAR = base;
    MPU_RASR = attributes;
}

/* Two regions may not be touched; elsewhere the default map holds.
 * External memory (0x60000000 .. 0xDFFFFFFF): a speculative read of a controller that is not set up can hang the bus.
 * The lowest bytes of the stack: where an overflow ends. */
static void start_protection(void) {
    set_region(0, 0, 1u << 28 | 0x87u << 8 | 31u << 1 | 1u); /* 4 GB without its first three and its last eighth */
    const uint32_t guard_size = (uint32_t)__builtin_ctz(HILNAS_STACK_GUARD_BYTES) - 1u; /* 2^(size + 1) bytes */
    set_region(1, (uint32_t)__stack_bottom, 1u << 28 | guard_size << 1 | 1u);
    MPU_CTRL = 1u << 2 | 1u;
    core_barrier();
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
